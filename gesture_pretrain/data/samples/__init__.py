"""Samples of both stages: crops, augmentation, targets and loaders."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "GestureDataset": "gesture_pretrain.data.samples.gesture_dataset",
        "HandCrops": "gesture_pretrain.data.samples.hand_crops",
        "PoseDataset": "gesture_pretrain.data.samples.pose_dataset",
        "SampleKey": "gesture_pretrain.data.samples.sampling",
        "count_supervision": "gesture_pretrain.data.samples.supervision",
    },
)
