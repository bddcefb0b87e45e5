"""Reading and validation of taxonomy CSV files; errors name file and line.

One line per source label, keyed by the whole name:

    label        whole name of the folder or sequence (`folder` is accepted as well)
    coarse, fine class, either an id counted from 0 or a class name (ids in order of appearance)
    coarse_name, fine_name   optional, what reports call a class that is given by its id
    name         optional, a readable name of the label; names its classes where nothing else does
    hand         optional: right, left or interacting; images of another hand are masked
    flip         optional: the label whose classes the mirror image has (may be the label itself)

Flips are derived for classes from the `flip` column and checked to be an involution. The standard
library reads the file, because training does not require pandas.
"""

import csv
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gesture_pretrain.names import did_you_mean

TAXONOMY_FOLDER = Path(__file__).parent
_COLUMNS = ("label", "folder", "coarse", "fine", "coarse_name", "fine_name", "name", "hand", "flip")
_OPPOSITE = {"right": "left", "left": "right", "interacting": "interacting"}


def read_taxonomy_file(source: str | Path) -> dict:
    """Read the fields of a `Taxonomy` from a packaged taxonomy or a CSV file.

    Raises:
        FileNotFoundError: There is no such name or file.
        ValueError: The file violates a rule; the message names file and line.
    """
    path = _find_csv(source)
    return _build(path.stem, _read_rows(path))


def packaged_taxonomies() -> list[str]:
    """List the names of the packaged taxonomies."""
    return sorted(path.stem for path in TAXONOMY_FOLDER.glob("*.csv"))


class _Row(NamedTuple):
    where: str  # "file.csv line 7 (label '0016_fist')", the beginning of every error
    cells: dict[str, str]


def _find_csv(source: str | Path) -> Path:
    known = packaged_taxonomies()
    if str(source) in known:
        return TAXONOMY_FOLDER / f"{source}.csv"
    path = Path(source)
    if path.is_file():
        return path
    raise FileNotFoundError(
        f"No taxonomy {str(source)!r}: neither a file nor a packaged name. Packaged: "
        f"{', '.join(known)}.{did_you_mean(source, known)}"
    )


def _read_rows(path: Path) -> list[_Row]:
    try:
        return _rows_of(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV in UTF-8: {error}.") from None


def _rows_of(path: Path) -> list[_Row]:
    # utf-8-sig: spreadsheets put a byte order mark before the first column's name
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        header = [(column or "").strip() for column in reader.fieldnames or []]
        reader.fieldnames = header
        _check_header(header, path.name)
        rows = [
            _read_row(cells, f"{path.name} line {reader.line_num}")
            for cells in reader
            if any((cell or "").strip() for cell in cells.values() if not isinstance(cell, list))
        ]
    if not rows:
        raise ValueError(f"{path.name} has no rows; a taxonomy needs at least one label.")
    return rows


def _check_header(header: list[str], file_name: str) -> None:
    odd = [column for column in header if column not in _COLUMNS]
    if odd:
        raise ValueError(
            f"{file_name} line 1: unknown column {odd[0]!r}. Known: {', '.join(_COLUMNS)}."
        )
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice or {"label", "folder"} <= set(header):
        raise ValueError(
            f"{file_name} line 1: column {twice[0] if twice else 'label'!r} is given twice "
            "(`folder` is another word for `label`)."
        )
    for column in ("label", "coarse", "fine"):
        if column not in header and not (column == "label" and "folder" in header):
            raise ValueError(f"{file_name} line 1: column {column!r} is missing; it has {header}.")


def _read_row(cells: dict, line: str) -> _Row:
    if None in cells or None in cells.values():
        raise ValueError(f"{line}: the number of cells differs from the number of columns.")
    given = {("label" if key == "folder" else key): value.strip() for key, value in cells.items()}
    where = f"{line} (label {given['label']!r})"
    for column in ("label", "coarse", "fine"):
        if not given[column]:
            raise ValueError(f"{where}: column {column!r} is empty.")
    row = {**dict.fromkeys(_COLUMNS, ""), **given}
    if row["hand"] not in ("", *_OPPOSITE):
        raise ValueError(f"{where}: hand {row['hand']!r} is none of {', '.join(_OPPOSITE)}.")
    return _Row(where, row)


def _build(name: str, rows: list[_Row]) -> dict:
    labels = [row.cells["label"] for row in rows]
    places = [row.where for row in rows]
    _agreed(rows, labels, places, "the label was already given at {earlier}.")
    coarse, fine = _class_ids(rows, "coarse"), _class_ids(rows, "fine")
    _agreed(
        rows,
        fine,
        coarse,
        "fine class {fine} lies in coarse class {coarse} here, but {where} puts it elsewhere. Each "
        "fine class belongs to one coarse class.",
    )
    hands = {row.cells["label"]: row.cells["hand"] for row in rows if row.cells["hand"]}
    for row in rows:
        _check_partner(row, labels, hands)
    return {
        "name": name,
        "labels": tuple(labels),
        "coarse_of": dict(zip(labels, coarse, strict=True)),
        "fine_of": dict(zip(labels, fine, strict=True)),
        "coarse_names": _class_names(rows, coarse, "coarse"),
        "fine_names": _class_names(rows, fine, "fine"),
        "hand_of_label": hands,
        "coarse_flip": _class_flip(rows, coarse, "coarse"),
        "fine_flip": _class_flip(rows, fine, "fine"),
    }


def _agreed(
    rows: Sequence[_Row], keys: Sequence[Hashable], values: Sequence[Any], said: str
) -> dict:
    """Map keys to values, and check that all rows with the same key have the same value.

    Args:
        rows: The rows.
        keys, values: One of each per row.
        said: Format of the error, with {key}, {value}, {earlier} value, {where} it is, and the
            columns of the row.
    """
    found: dict = {}
    for row, key, value in zip(rows, keys, values, strict=True):
        earlier, where = found.setdefault(key, (value, row.where))
        if value != earlier:
            facts = {"key": key, "value": value, "earlier": earlier, "where": where}
            raise ValueError(f"{row.where}: {said.format(**facts, **row.cells)}")
    return {key: value for key, (value, _) in found.items()}


def _class_ids(rows: list[_Row], level: str) -> list[int]:
    values = [row.cells[level] for row in rows]
    numeric = [_is_integer(value) for value in values]
    if any(numeric) and not all(numeric):
        odd = rows[numeric.index(not numeric[0])]
        raise ValueError(
            f"{odd.where}: {level} {odd.cells[level]!r} mixes ids and names in one column; give "
            "either ids counted from 0 or names."
        )
    if not any(numeric):
        id_of = {value: i for i, value in enumerate(dict.fromkeys(values))}
        return [id_of[value] for value in values]
    ids = [int(value) for value in values]
    used = set(ids)
    for row, value in zip(rows, ids, strict=True):
        missing = [lower for lower in range(min(value, len(used) + 1)) if lower not in used]
        if value < 0 or missing:
            raise ValueError(
                f"{row.where}: {level} id {value} breaks the rule that ids count from 0 without "
                "a gap" + (f"; id {missing[0]} has no row." if missing else ".")
            )
    return ids


def _is_integer(text: str) -> bool:
    return text.lstrip("+-").isdecimal()


def _class_names(rows: list[_Row], ids: list[int], level: str) -> tuple[str, ...]:
    """Find the name of each class: its name column, its own column, or its first row's name."""
    fallback: dict[int, str] = {}
    for row, value in zip(rows, ids, strict=True):
        text, named = row.cells[level], row.cells["name"] or row.cells["label"]
        fallback.setdefault(value, named if _is_integer(text) else text)
    named = [(row, i) for row, i in zip(rows, ids, strict=True) if row.cells[f"{level}_name"]]
    given = _agreed(
        [row for row, _ in named],
        [i for _, i in named],
        [row.cells[f"{level}_name"] for row, _ in named],
        level + " class {key} is called {value!r} here and {earlier!r} at {where}.",
    )
    return tuple(given.get(i, fallback[i]) for i in range(len(fallback)))


def _class_flip(rows: list[_Row], ids: list[int], level: str) -> tuple[int | None, ...]:
    """Derive the mirror class of each class of a level, and check that it is an involution."""
    class_of = {row.cells["label"]: i for row, i in zip(rows, ids, strict=True)}
    flipped = [row for row in rows if row.cells["flip"]]
    own = [class_of[row.cells["label"]] for row in flipped]
    table = _agreed(
        flipped,
        own,
        [class_of[row.cells["flip"]] for row in flipped],
        "flip {flip!r} sends " + level + " class {key} to {value}, but {where} sends it to "
        "{earlier}.",
    )
    for row, i in zip(flipped, own, strict=True):
        other = table[i]
        if table.get(other) != i:
            raise ValueError(
                f"{row.where}: flip sends {level} class {i} to {other}, but {other} flips to "
                f"{table.get(other)}; flipping twice must give {i} again."
            )
    return tuple(table.get(i) for i in range(1 + max(ids)))


def _check_partner(row: _Row, labels: Sequence[str], hands: dict[str, str]) -> None:
    partner, hand = row.cells["flip"], row.cells["hand"]
    if not partner:
        return
    if partner not in labels:
        raise ValueError(f"{row.where}: flip partner {partner!r} is not a label of this file.")
    if hand and hands.get(partner, _OPPOSITE[hand]) != _OPPOSITE[hand]:
        raise ValueError(
            f"{row.where}: flip partner {partner!r} is a {hands[partner]} hand; the mirror image "
            f"of a {hand} one is {_OPPOSITE[hand]}."
        )
