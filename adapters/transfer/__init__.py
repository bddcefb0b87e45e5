"""Transfer studies: a plan of arms, targets, label fractions and seeds, run cell by cell."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "Study": "adapters.transfer.study",
        "one_target_plan": "adapters.transfer.plan.one_target",
        "open_study": "adapters.transfer.study",
        "register_pose_backbone": "adapters.transfer.pose_backbone",
    },
)
