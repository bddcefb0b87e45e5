"""Swapping a backbone into another network, with a ledger of every tensor."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "SwapLedger": "adapters.swap.ledger",
        "try_swap": "adapters.swap.dry_run",
    },
)
