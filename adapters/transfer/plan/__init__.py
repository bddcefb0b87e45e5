"""Plans: what is compared, checked, audited and turned into training runs."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "Plan": "adapters.transfer.plan.plan",
        "PlanError": "adapters.transfer.plan.plan",
        "audit_plan": "adapters.transfer.plan.audit",
        "cells_of": "adapters.transfer.plan.cells",
        "one_target_plan": "adapters.transfer.plan.one_target",
        "plan_from": "adapters.transfer.plan.file",
        "read_plan": "adapters.transfer.plan.file",
    },
)
