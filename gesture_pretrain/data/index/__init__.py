"""The index of a dataset, as memory-mapped columns: open, select, read."""

from gesture_pretrain.data.index.errors import DataError, IndexFormatError
from gesture_pretrain.data.index.fraction import (
    RowCounts,
    count_rows,
    require_distinct_fractions,
    select_fraction,
)
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS, SPLITS, HandRecord, ManoFit

__all__ = [
    "HANDS",
    "SPLITS",
    "DataError",
    "HandIndex",
    "HandRecord",
    "IndexFormatError",
    "ManoFit",
    "RowCounts",
    "count_rows",
    "require_distinct_fractions",
    "select_fraction",
]
