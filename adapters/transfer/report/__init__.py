"""The report of a plan: a page, and its tables as files."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "collect_results": "adapters.transfer.report.build",
        "write_report": "adapters.transfer.report.build",
        "write_transfer_report": "adapters.transfer.report.page",
    },
)
