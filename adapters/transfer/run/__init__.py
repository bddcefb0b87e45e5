"""Running the cells of a plan, here or on a cluster."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "Outcome": "adapters.transfer.run.execution",
        "outcome": "adapters.transfer.run.execution",
        "run_plan": "adapters.transfer.run.execution",
        "submit_workers": "adapters.transfer.run.cluster",
    },
)
