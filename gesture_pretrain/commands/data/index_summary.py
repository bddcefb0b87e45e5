"""What a new index holds, printed; and the taxonomy that its gestures are counted with."""

from pathlib import Path

from gesture_pretrain.data.description import describe_index
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.taxonomy import Taxonomy


def load_taxonomy(name: str | None) -> Taxonomy | None:
    """Asked before the work, so that a wrong name does not cost an index."""
    try:
        return None if name is None else Taxonomy.load(name)
    except (ValueError, FileNotFoundError) as error:
        raise DataError(str(error)) from None


def report_index(index_folder: Path, taxonomy: Taxonomy | None = None) -> int:
    """Print what an index holds; returns the exit code."""
    index = HandIndex.open(index_folder)
    print(describe_index(index))
    if taxonomy is not None:
        _print_gestures(index, taxonomy)
    print(f"\nindex: {index.path}")
    return 0


def _print_gestures(index: HandIndex, taxonomy: Taxonomy) -> None:
    print(f"\nimages with a gesture of the taxonomy {taxonomy.name}:")
    for split in index.meta["counts"]:
        of_split = len(index.select(split))
        labelled = len(index.select(split, labelled_by=taxonomy))
        print(f"  {split:5} {labelled:,} of {of_split:,}")
