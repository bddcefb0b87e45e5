"""Safe reading of a MANO pickle, without running any code that it names.

A pickle can run arbitrary code when it is loaded. This unpickler knows the few classes that a MANO
file consists of and rejects every other name before anything is called. It needs neither chumpy nor
scipy.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np

_MOST_NUMBERS = 10_000_000  # the largest array of a MANO file has 315,090


class ManoFileError(ValueError):
    """A hand model file exists but cannot be used."""


def read_mano_pickle(path: Path) -> dict:
    """Read the dictionary of a MANO pickle; `dense_array` converts its values.

    Raises:
        ManoFileError: The file is damaged, names a class that no MANO file needs, or does not
            contain a dictionary.
    """
    with path.open("rb") as stream:
        try:
            content = _ManoUnpickler(stream, encoding="latin1").load()
        except Exception as error:  # damage makes the unpickler raise errors of any class
            raise ManoFileError(f"{path} cannot be read as a MANO pickle: {error}") from error
    if not isinstance(content, dict):
        raise ManoFileError(f"{path} holds a {type(content).__name__}, not a MANO dictionary")
    return content


class _ManoUnpickler(pickle.Unpickler):
    """Unpickler that resolves the names in a MANO file and no others.

    Classes of chumpy and scipy.sparse become inert records, created anew for every file, so that a
    file can neither call into those packages nor alter them. Module names may be those of Python 2
    or 3.
    """

    def __init__(self, stream, **options):
        super().__init__(stream, **options)
        self._records: dict[str, type] = {}

    def find_class(self, module: str, name: str):
        full_name = f"{module}.{name}"
        if full_name in _ALLOWED:
            return _ALLOWED[full_name]
        if _is_in(module, "chumpy") or _is_in(module, "scipy.sparse"):
            return self._records.setdefault(full_name, _record_type(full_name))
        raise pickle.UnpicklingError(
            f"it names {full_name}, which no MANO file needs. Nothing was called. The file is "
            "damaged or malicious; download it again from the MANO home page"
        )


class _Record(SimpleNamespace):
    """Pickled attributes of an object whose class is not loaded."""

    origin = ""


def _record_type(full_name: str) -> type:
    return type("Record", (_Record,), {"origin": full_name})


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Decode bytes as Python 3 pickles them at protocol 2; reject any other codec."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it holds bytes in the encoding {encoding!r}")
    return text.encode("latin-1")


def _bare_record(kind: type, base: type, state: object) -> _Record:
    """Create an object as protocols 0 and 1 do; only records are allowed."""
    if not (isinstance(kind, type) and issubclass(kind, _Record)):
        raise pickle.UnpicklingError(f"it creates an object of {kind!r}")
    return kind.__new__(kind)


# numpy's private reconstruction functions, obtained from numpy because module paths vary by version
_NUMPY_FUNCTIONS = {
    "multiarray._reconstruct": np.zeros(1).__reduce__()[0],
    "multiarray.scalar": np.float64(0).__reduce__()[0],
    "numeric._frombuffer": np.zeros(1).__reduce_ex__(5)[0],
}
_ALLOWED = {
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    **{
        f"numpy.{core}.{name}": function
        for core in ("core", "_core")
        for name, function in _NUMPY_FUNCTIONS.items()
    },
    "__builtin__.set": set,
    "builtins.set": set,
    "__builtin__.object": object,
    "builtins.object": object,
    "collections.OrderedDict": OrderedDict,
    "_codecs.encode": _latin1_bytes,
    "copy_reg._reconstructor": _bare_record,
    "copyreg._reconstructor": _bare_record,
}


def dense_array(value: object, name: str) -> np.ndarray:
    """Convert an array, a chumpy record or a sparse matrix record to a dense array.

    Args:
        value: Value in the dictionary of a MANO file.
        name: Name of the value, for error messages.

    Raises:
        ManoFileError: The record is damaged, or of an unsupported kind.
    """
    if not isinstance(value, _Record):
        return np.asarray(value)
    kind = value.origin.rsplit(".", 1)[-1]
    if kind not in _DENSE_OF:
        raise ManoFileError(
            f"{name} is a {value.origin}, which is not supported. Supported: {sorted(_DENSE_OF)}. "
            "Save the array as plain numbers in an npz instead."
        )
    try:
        return _DENSE_OF[kind](value, name)
    except RecursionError:
        raise ManoFileError(f"{name}: the {value.origin} contains itself") from None
    # what attributes that are absent, of another type or out of range raise
    except (AttributeError, LookupError, ValueError, TypeError, OverflowError) as error:
        raise ManoFileError(f"{name}: broken {value.origin}: {error}") from error


def _dense_select(record: _Record, name: str) -> np.ndarray:
    chosen = dense_array(record.a, name).ravel()[np.asarray(record.idxs)]
    return chosen.reshape(getattr(record, "preferred_shape", chosen.shape))


def _dense_compressed(record: _Record, name: str) -> np.ndarray:
    """Expand compressed sparse columns (csc) or rows (csr); repeated entries are summed."""
    by_column = record.origin.rsplit(".", 1)[-1].startswith("csc")
    rows, columns = record._shape if hasattr(record, "_shape") else record.shape
    outer = np.repeat(np.arange(len(record.indptr) - 1), np.diff(record.indptr))
    place = (record.indices, outer) if by_column else (outer, record.indices)
    if not 0 <= rows * columns <= _MOST_NUMBERS:
        raise ValueError(f"a matrix of {rows} x {columns}")
    dense = np.zeros((rows, columns), np.asarray(record.data).dtype)
    np.add.at(dense, place, record.data)
    return dense


_DENSE_OF = {
    "Ch": lambda record, name: dense_array(record.x, name),
    "Select": _dense_select,
    "Reshape": lambda record, name: dense_array(record.a, name).reshape(record.newshape),
    **dict.fromkeys(("csc_matrix", "csr_matrix", "csc_array", "csr_array"), _dense_compressed),
}
