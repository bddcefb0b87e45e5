"""What the plans on InterHand2.6M share: the recipes of `configs/pretrain` and `configs/pose`.

A plan's `data` holds the index, so the recipes' own is left out.
"""

from mmengine.config import read_base

with read_base():
    from .interhand_256 import data as _labels
    from .interhand_256 import heads as _heads
    from .interhand_256 import objective as _objective
    from .interhand_256 import optimizer as _pretraining_optimizer
    from .interhand_256 import schedule as _pretraining_schedule
    from .interhand_256 import training as _pretraining_training
    from .pose_interhand_256 import data as _poses
    from .pose_interhand_256 import hand_model as _hand_model
    from .pose_interhand_256 import optimizer as _optimizer
    from .pose_interhand_256 import schedule as _schedule
    from .pose_interhand_256 import training as _training

data = dict(
    index=_poses.pop("index"), taxonomy=_poses.pop("taxonomy"), workers=_poses.pop("workers")
)
pretraining = dict(
    data={key: value for key, value in _labels.items() if key not in data},
    heads=_heads,
    objective=_objective,
    optimizer=_pretraining_optimizer,
    schedule=_pretraining_schedule,
    training=_pretraining_training,
)
finetuning = dict(
    data=_poses,
    hand_model=_hand_model,
    optimizer=_optimizer,
    schedule=_schedule,
    training=_training,
)
del _labels, _heads, _objective, _pretraining_optimizer, _pretraining_schedule
del _pretraining_training, _poses, _hand_model, _optimizer, _schedule, _training
