"""Reading and validation of taxonomy CSV files; errors name file and line.

One line per source label, keyed by the whole name:

    label        whole name of the folder or sequence (`folder` is accepted as well)
    coarse, fine class, either an id counted from 0 or a class name (ids in order of appearance)
    coarse_name, fine_name   optional, what reports call a class that is given by its id
    name         optional, a readable name of the label; names its classes where nothing else does
    hand         optional: right, left or interacting; images of another hand are masked
    flip         optional: the label whose classes the mirror image has (may be the label itself)

Flips are derived for classes from the `flip` column and checked to be an involution.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gesture_pretrain.names import did_you_mean

TAXONOMY_FOLDER = Path(__file__).parent / "taxonomies"
_COLUMNS = ("label", "folder", "coarse", "fine", "coarse_name", "fine_name", "name", "hand", "flip")
_HANDS = ("right", "left", "interacting")
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


@dataclass(frozen=True)
class _Row:
    where: str  # "file.csv line 7 (label '0016_fist')", the beginning of every error
    cells: dict[str, str]
    coarse: str
    fine: str

    @property
    def label(self) -> str:
        return self.cells["label"]


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
    cells = {("label" if key == "folder" else key): value.strip() for key, value in cells.items()}
    where = f"{line} (label {cells['label']!r})"
    for column in ("label", "coarse", "fine"):
        if not cells[column]:
            raise ValueError(f"{where}: column {column!r} is empty.")
    hand = cells.get("hand", "")
    if hand and hand not in _HANDS:
        raise ValueError(f"{where}: hand {hand!r} is none of {', '.join(_HANDS)} or empty.")
    return _Row(where, cells, cells["coarse"], cells["fine"])


def _build(name: str, rows: list[_Row]) -> dict:
    _check_labels_distinct(rows)
    coarse_ids, fine_ids = _class_ids(rows, "coarse"), _class_ids(rows, "fine")
    _check_fine_refines_coarse(rows, coarse_ids, fine_ids)
    labels = [row.label for row in rows]
    hand_of_label = {row.label: row.cells["hand"] for row in rows if row.cells.get("hand")}
    for row in rows:
        _check_partner(row, labels, hand_of_label)
    return {
        "name": name,
        "labels": tuple(labels),
        "coarse_of": dict(zip(labels, coarse_ids, strict=True)),
        "fine_of": dict(zip(labels, fine_ids, strict=True)),
        "coarse_names": _class_names(rows, coarse_ids, "coarse"),
        "fine_names": _class_names(rows, fine_ids, "fine"),
        "hand_of_label": hand_of_label,
        "coarse_flip": _class_flip(rows, coarse_ids, "coarse"),
        "fine_flip": _class_flip(rows, fine_ids, "fine"),
    }


def _check_labels_distinct(rows: list[_Row]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        if row.label in seen:
            raise ValueError(f"{row.where}: the label was already given at {seen[row.label]}.")
        seen[row.label] = row.where


def _class_ids(rows: list[_Row], level: str) -> list[int]:
    values = [getattr(row, level) for row in rows]
    numeric = [_is_integer(value) for value in values]
    if any(numeric) and not all(numeric):
        odd = rows[numeric.index(not numeric[0])]
        raise ValueError(
            f"{odd.where}: {level} {getattr(odd, level)!r} mixes ids and names in one column; "
            "give either ids counted from 0 or names."
        )
    if not any(numeric):
        id_of: dict[str, int] = {}
        return [id_of.setdefault(value, len(id_of)) for value in values]
    ids = [int(value) for value in values]
    _check_dense(rows, ids, level)
    return ids


def _is_integer(text: str) -> bool:
    return text.lstrip("+-").isdecimal()


def _check_dense(rows: list[_Row], ids: list[int], level: str) -> None:
    used = set(ids)
    for row, value in zip(rows, ids, strict=True):
        missing = [lower for lower in range(min(value, len(used) + 1)) if lower not in used]
        if value < 0 or missing:
            raise ValueError(
                f"{row.where}: {level} id {value} breaks the rule that ids count from 0 without "
                "a gap" + (f"; id {missing[0]} has no row." if missing else ".")
            )


def _check_fine_refines_coarse(rows: list[_Row], coarse_ids: list[int], fine_ids: list[int]):
    first: dict[int, tuple[int, str]] = {}
    for row, coarse, fine in zip(rows, coarse_ids, fine_ids, strict=True):
        known_coarse, where = first.setdefault(fine, (coarse, row.where))
        if coarse != known_coarse:
            raise ValueError(
                f"{row.where}: fine class {row.fine} lies in coarse class {row.coarse} here, but "
                f"{where} puts it elsewhere. Each fine class belongs to one coarse class."
            )


def _class_names(rows: list[_Row], ids: list[int], level: str) -> tuple[str, ...]:
    """Find the name of each class: its name column, its own column, or its first row's name."""
    given: dict[int, tuple[str, str]] = {}
    fallback: dict[int, str] = {}
    for row, value in zip(rows, ids, strict=True):
        text = getattr(row, level)
        spare = text if not _is_integer(text) else row.cells.get("name") or row.label
        fallback.setdefault(value, spare)
        name = row.cells.get(f"{level}_name", "")
        if name and given.setdefault(value, (name, row.where))[0] != name:
            raise ValueError(
                f"{row.where}: {level} class {value} is called {name!r} here and "
                f"{given[value][0]!r} at {given[value][1]}."
            )
    return tuple(given[i][0] if i in given else fallback[i] for i in range(len(fallback)))


def _class_flip(rows: list[_Row], ids: list[int], level: str) -> tuple[int | None, ...]:
    """Derive the mirror class of each class of a level, and check that it is an involution."""
    class_of = {row.label: value for row, value in zip(rows, ids, strict=True)}
    table: list[int | None] = [None] * (1 + max(ids))
    source: dict[int, _Row] = {}
    for row in rows:
        partner = row.cells.get("flip", "")
        if not partner:
            continue
        own, other = class_of[row.label], class_of[partner]
        if table[own] not in (None, other):
            raise ValueError(
                f"{row.where}: flip {partner!r} sends {level} class {own} to {other}, but "
                f"{source[own].where} sends it to {table[own]}."
            )
        table[own] = other
        source.setdefault(own, row)
    for own, row in source.items():
        other = table[own]
        if table[other] != own:
            raise ValueError(
                f"{row.where}: flip sends {level} class {own} to {other}, but {other} flips to "
                f"{table[other]}; flipping twice must give {own} again."
            )
    return tuple(table)


def _check_partner(row: _Row, labels: Sequence[str], hand_of_label: dict[str, str]) -> None:
    partner = row.cells.get("flip", "")
    if not partner:
        return
    if partner not in labels:
        raise ValueError(f"{row.where}: flip partner {partner!r} is not a label of this file.")
    hand, other = hand_of_label.get(row.label), hand_of_label.get(partner)
    if hand and other and other != _OPPOSITE[hand]:
        raise ValueError(
            f"{row.where}: flip partner {partner!r} is a {other} hand; the mirror image of a "
            f"{hand} one is {_OPPOSITE[hand]}."
        )
