"""Summary of a new index, with the taxonomy for counting its gestures."""

from pathlib import Path

from gesture_pretrain.data.description import describe_index
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.taxonomy import Taxonomy


def load_taxonomy(name: str | None) -> Taxonomy | None:
    """Load the taxonomy before indexing, so that a wrong name fails early."""
    return None if name is None else Taxonomy.load(name)


def report_index(index_folder: Path, taxonomy: Taxonomy | None = None) -> int:
    """Print a summary of an index and return the exit status."""
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
