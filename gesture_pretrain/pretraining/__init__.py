"""Stage 1: a backbone is trained on coarse and fine gesture labels."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "BatchToDevice": "gesture_pretrain.pretraining.model",
        "GestureDataSection": "gesture_pretrain.pretraining.data_section",
        "GesturePretrainer": "gesture_pretrain.pretraining.model",
        "build_gesture_data": "gesture_pretrain.pretraining.data",
        "build_runner": "gesture_pretrain.pretraining.run",
        "check_config": "gesture_pretrain.pretraining.sections",
        "load_taxonomy": "gesture_pretrain.pretraining.labels",
        "pretrain": "gesture_pretrain.pretraining.stage",
    },
)
