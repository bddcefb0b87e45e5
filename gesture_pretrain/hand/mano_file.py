"""Finding and reading hand models in MANO's file layout (Romero et al., SIGGRAPH Asia 2017).

There are two sources: the licensed MANO files, which users download from the MANO home page and
which are never part of this package, and the bundled hand model in ``assets/``.

A MANO file is a Python pickle; ``mano_pickle.py`` opens it without running any code that it names.
This module uses numpy only; ``model.py`` builds a torch module from the arrays.
"""

import os
from importlib import resources
from pathlib import Path

import numpy as np
import platformdirs

from gesture_pretrain.files.npz_file import read_npz
from gesture_pretrain.hand.mano_pickle import ManoFileError, dense_array, read_mano_pickle
from gesture_pretrain.skeleton import HANDS, PARENTS_MANO16

HandArrays = dict[str, np.ndarray]

OPEN_HAND = "open"
_FLOAT_SHAPES = {
    "v_template": (778, 3),  # m
    "shapedirs": (778, 3, 10),  # m per unit of shape
    "posedirs": (778, 3, 135),  # m per entry of (rotation - identity)
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "hands_components": (45, 45),
    "hands_mean": (45,),  # rad
}
_INT_SHAPES = {"f": (1538, 3), "kintree_table": (2, 16)}
_SUBFOLDERS = (".", "models", "mano")
_EXTENT_M = (0.05, 0.5)
_SUM_TOLERANCE = 0.01
_LEFT_FAULT_LIMIT = 1.0  # faulty files: 0.0004; sound ones: 8.0


class MissingManoFile(FileNotFoundError):
    """No hand model file was found; the message lists the paths tried."""


def documented_folder() -> Path:
    """Return the default folder of MANO files, ``mano`` in the user data folder."""
    return Path(platformdirs.user_data_dir("gesture_pretrain", appauthor=False)) / "mano"


def read_hand(hand: str, path: str | os.PathLike | None = None) -> HandArrays:
    """Read one hand, in the form that smplx accepts as ``data_struct``.

    Args:
        hand: ``"right"`` or ``"left"``.
        path: ``"open"`` for the bundled hand model; a MANO file (pkl or npz) or a folder with
            ``MANO_RIGHT`` and ``MANO_LEFT``; or None to search ``$MANO_DIR``, or if that is not
            set, ``documented_folder()``.

    Returns:
        float64 arrays ``v_template`` (778, 3) m, ``shapedirs`` (778, 3, 10), ``posedirs``
        (778, 3, 135), ``J_regressor`` (16, 778), ``weights`` (778, 16), ``hands_components``
        (45, 45), ``hands_mean`` (45,) rad; int64 arrays ``f`` (1538, 3), ``kintree_table`` (2, 16).
        The sign error in the distributed left hand's ``shapedirs`` is corrected if present.

    Raises:
        ValueError: ``hand`` is neither ``"right"`` nor ``"left"``.
        MissingManoFile: There is no such file.
        ManoFileError: A file is unreadable, unsafe, incomplete, or of the other hand.
    """
    require_hand_name(hand)
    if path == OPEN_HAND:
        return open_hand(hand)
    file = find_mano_file(hand, path)
    arrays = _read_side(file, hand)
    if hand == "right":
        return arrays
    return correct_left_shapedirs(arrays, _read_side(_right_file_beside(file), "right"))


def require_hand_name(hand: str) -> None:
    """Raise ValueError unless ``hand`` is ``"right"`` or ``"left"``."""
    if hand not in HANDS:
        raise ValueError(f"unknown hand {hand!r}; choose one of {list(HANDS)}")


# --- the bundled hand model ------------------------------------------------------------------


def open_hand(hand: str) -> HandArrays:
    """Read the bundled hand model, in the form of ``read_hand``; the left hand is mirrored."""
    require_hand_name(hand)
    asset = resources.files("gesture_pretrain") / "assets" / "open_hand_right.npz"
    with resources.as_file(asset) as file:
        right = read_mano_file(file)
    return right if hand == "right" else mirror_hand(right)


def mirror_hand(arrays: HandArrays) -> HandArrays:
    """Mirror a hand about the plane x = 0.

    Positions change sign in x. Axis-angle vectors (x, y, z) become (x, -y, -z), both in
    ``hands_mean`` and in the rows of ``hands_components``. ``posedirs`` changes sign in x and with
    its rotation entries, which change sign if exactly one of their indices is x. The vertex order
    of faces is reversed so that they still face outwards.
    """
    flip_x = np.array([-1.0, 1.0, 1.0])
    flip_axis_angle = np.tile([1.0, -1.0, -1.0], 15)
    flip_rotation = np.tile(np.outer(flip_x, flip_x).ravel(), 15)
    return {
        **arrays,
        "v_template": arrays["v_template"] * flip_x,
        "shapedirs": arrays["shapedirs"] * flip_x[:, None],
        "posedirs": arrays["posedirs"] * flip_x[:, None] * flip_rotation,
        "hands_mean": arrays["hands_mean"] * flip_axis_angle,
        "hands_components": arrays["hands_components"] * flip_axis_angle,
        "f": np.ascontiguousarray(arrays["f"][:, ::-1]),
    }


def correct_left_shapedirs(left: HandArrays, right: HandArrays) -> HandArrays:
    """Undo the sign error of the distributed left hand, if present.

    In the faulty file, the x row of the left ``shapedirs`` equals the right hand's instead of its
    negative. The error is considered present if the sum of absolute differences is below 1, so a
    correct file stays unchanged.
    """
    difference = np.abs(left["shapedirs"][:, 0] - right["shapedirs"][:, 0]).sum()
    if difference >= _LEFT_FAULT_LIMIT:
        return left
    return {**left, "shapedirs": left["shapedirs"] * np.array([-1.0, 1.0, 1.0])[:, None]}


# --- finding ---------------------------------------------------------------------------------


def find_mano_file(hand: str, path: str | os.PathLike | None = None) -> Path:
    """Find the MANO file of one hand; see ``read_hand`` for the search locations.

    Only one location is searched: ``path`` if given, else ``$MANO_DIR`` if set, else the documented
    folder. In a folder, ``MANO_RIGHT.pkl`` takes precedence over ``MANO_RIGHT.npz``, and the folder
    itself over its subfolders ``models`` and ``mano``.

    Raises:
        MissingManoFile: No file was found. The message lists the paths tried.
    """
    require_hand_name(hand)
    place, why = _place_to_look(path)
    if place.is_file():
        return place
    tried = [
        place / subfolder / f"MANO_{hand.upper()}{ending}"
        for subfolder in _SUBFOLDERS
        for ending in (".pkl", ".npz")
    ]
    found = next((file for file in tried if file.is_file()), None)
    if found is not None:
        return found
    listing = "\n".join(f"  {file}" for file in ([place] if place.suffix else tried))
    raise MissingManoFile(
        f"no MANO file of the {hand} hand. Searched {why}:\n{listing}\n"
        "Register at https://mano.is.tue.mpg.de, download 'Models & Code', and put MANO_RIGHT.pkl "
        f"and MANO_LEFT.pkl into {documented_folder()}, or set MANO_DIR to their folder, or pass "
        'their path. For the bundled hand model, pass path="open".'
    )


def _place_to_look(path: str | os.PathLike | None) -> tuple[Path, str]:
    if path is not None:
        return Path(path).expanduser(), "the given path"
    if os.environ.get("MANO_DIR"):
        return Path(os.environ["MANO_DIR"]).expanduser(), "the folder in MANO_DIR"
    return documented_folder(), "the documented folder (no path given, MANO_DIR not set)"


def _right_file_beside(left_file: Path) -> Path:
    for left, right in (("LEFT", "RIGHT"), ("left", "right"), ("Left", "Right")):
        candidate = left_file.with_name(left_file.name.replace(left, right))
        if left in left_file.name and candidate.is_file():
            return candidate
    raise MissingManoFile(
        f"the right hand's file next to {left_file} is missing. It is required to detect a sign "
        "error in the shapedirs of distributed left hands. Put both files into one folder, with "
        "names that differ only in LEFT and RIGHT."
    )


# --- reading ---------------------------------------------------------------------------------


def _read_side(file: Path, hand: str) -> HandArrays:
    arrays = read_mano_file(file)
    joints_m = arrays["J_regressor"] @ arrays["v_template"]
    found = "right" if joints_m[0, 0] > joints_m[4, 0] else "left"  # right fingers point to -x
    if found != hand:
        raise ManoFileError(
            f"{file} contains a {found} hand, but the {hand} hand is required. "
            f"Pass the {hand} hand's file, or the folder with both."
        )
    return arrays


def read_mano_file(file: str | os.PathLike) -> HandArrays:
    """Read one MANO file, ``.pkl`` or ``.npz``, without corrections; keys as in ``read_hand``.

    An npz must contain plain arrays under MANO's key names, with a dense ``J_regressor``.

    Raises:
        ManoFileError: The file is unreadable, names code that is not part of a MANO file, or lacks
            an array.
    """
    path = Path(file)
    readers = {".pkl": read_mano_pickle, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise ManoFileError(f"{path}: a hand model file ends in .pkl or .npz, not {path.suffix!r}")
    return _parse_content(readers[path.suffix.lower()](path), path)


def _read_npz(path: Path) -> dict:
    return read_npz(path, ManoFileError, names={*_FLOAT_SHAPES, *_INT_SHAPES})


def _parse_content(content: dict, path: Path) -> HandArrays:
    required = [(_FLOAT_SHAPES, np.float64), (_INT_SHAPES, np.int64)]
    missing = [key for shapes, _ in required for key in shapes if key not in content]
    if missing:
        raise ManoFileError(f"{path} lacks {missing}; it is not a MANO file of one hand")
    arrays = {
        key: _as_array(content[key], f"{path}: {key}", shape, dtype)
        for shapes, dtype in required
        for key, shape in shapes.items()
    }
    if tuple(arrays["kintree_table"][0, 1:]) != PARENTS_MANO16[1:]:
        raise ManoFileError(f"{path}: kintree_table is not MANO's tree of 16 joints")
    if arrays["f"].min() < 0 or arrays["f"].max() >= 778:
        raise ManoFileError(f"{path}: f refers to vertices outside 0-777")
    _check_numbers(arrays, path)
    return arrays


def _check_numbers(arrays: HandArrays, path: Path) -> None:
    """Raise ManoFileError for a wrong unit of length, or weights that do not sum to 1."""
    extent_m = float(np.ptp(arrays["v_template"], axis=0).max())
    low, high = _EXTENT_M
    if not low < extent_m < high:
        raise ManoFileError(
            f"{path}: v_template is {extent_m:g} long; a hand has {low} to {high} m. Store metres."
        )
    for key in ("weights", "J_regressor"):
        sums = arrays[key].sum(axis=1)
        if np.abs(sums - 1).max() > _SUM_TOLERANCE:
            row = int(np.abs(sums - 1).argmax())
            raise ManoFileError(
                f"{path}: row {row} of {key} sums to {sums[row]:g}, not to 1. Copy the file again."
            )


def _as_array(value: object, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    dense = dense_array(value, name)
    if dense.shape != shape:
        raise ManoFileError(f"{name} has shape {dense.shape}; MANO's has {shape}")
    if dense.dtype.kind not in "fiu" or not np.all(np.isfinite(dense)):
        raise ManoFileError(f"{name} is not an array of finite numbers")
    return np.ascontiguousarray(dense, dtype=dtype)
