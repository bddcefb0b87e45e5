"""Reading MANO files: the open hand, pickles of the real structure, harmful and broken files."""

import copyreg
import hashlib
import io
import os
import pickle
import struct
import sys
import types

import numpy as np
import pytest
import scipy.sparse

from gesture_pretrain.hand import mano_file
from gesture_pretrain.hand.mano_file import MissingManoFile, read_hand, read_mano_file
from gesture_pretrain.hand.mano_pickle import ManoFileError

OPEN_HAND_SHA256 = "b9b266f884cb63fe0cff9618bc6a4cbd11cb610de471424fd7cfc3361a56ebd3"


@pytest.fixture(scope="module")
def hands():
    """Both hands of the open model, with random posedirs so that every array counts."""
    posedirs = np.random.default_rng(0).normal(size=(778, 3, 135)) * 1e-3
    right = {**mano_file.open_hand("right"), "posedirs": posedirs}
    return {"right": right, "left": mano_file.mirror_hand(right)}


@pytest.fixture
def chumpy(monkeypatch):
    """Stand-ins for the chumpy classes of a MANO file, importable while a test writes one."""

    class Ch:
        def __init__(self, **terms):
            self.__dict__.update(terms, _dirty_vars=set(), _itr=None, _depends_on_deps={})

    classes = {"Ch": ("chumpy.ch", Ch)}
    for name in ("Select", "Reshape", "Sort"):
        classes[name] = ("chumpy.reordering", type(name, (Ch,), {}))
    for module in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    for name, (module, kind) in classes.items():
        kind.__module__, kind.__qualname__ = module, name
        setattr(sys.modules[module], name, kind)
    return types.SimpleNamespace(**{name: kind for name, (_, kind) in classes.items()})


class _Python2Pickler(pickle._Pickler):
    """Writes strings and bytes as Python 2's ``str``, as in the distributed files."""

    dispatch = pickle._Pickler.dispatch.copy()

    def _save_str2(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin-1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = _save_str2


def _python2_pickle(content) -> bytes:
    stream = io.BytesIO()
    _Python2Pickler(stream, protocol=2).dump(content)
    raw = stream.getvalue()
    for now, then in ((b"numpy._core.", b"numpy.core."), (b"sparse._csc", b"sparse.csc")):
        raw = raw.replace(b"c" + now, b"c" + then).replace(b"cscipy." + now, b"cscipy." + then)
    return raw


def _mano_content(arrays, chumpy):
    """The arrays dressed as the distributed file dresses them."""
    shuffled = np.random.default_rng(1).permutation(arrays["shapedirs"].size)
    flat = np.empty(shuffled.size)
    flat[shuffled] = arrays["shapedirs"].ravel()
    return {
        **arrays,
        "f": arrays["f"].astype(np.uint32),
        "kintree_table": arrays["kintree_table"].astype(np.uint32),
        "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"]),
        "shapedirs": chumpy.Select(
            a=chumpy.Ch(x=flat), idxs=shuffled, preferred_shape=(778, 3, 10)
        ),
        "v_template": chumpy.Ch(x=arrays["v_template"]),
        "weights": chumpy.Reshape(a=chumpy.Ch(x=arrays["weights"].ravel()), newshape=(778, 16)),
        "bs_style": "lbs",
        "J": np.float64(1.0),
    }


def _assert_equal(found, expected):
    assert set(found) == set(mano_file._FLOAT_SHAPES) | set(mano_file._INT_SHAPES)
    for key, value in found.items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


def test_shipped_hand_is_the_published_file(repo_root):
    asset = repo_root / "gesture_pretrain" / "assets" / "open_hand_right.npz"
    assert hashlib.sha256(asset.read_bytes()).hexdigest() == OPEN_HAND_SHA256


def test_pickle_of_the_real_structure_loads_to_identical_values(tmp_path, hands, chumpy):
    for hand in ("right", "left"):
        raw = _python2_pickle(_mano_content(hands[hand], chumpy))
        assert b"cscipy.sparse.csc\n" in raw and b"cnumpy.core.multiarray\n" in raw
        (tmp_path / f"MANO_{hand.upper()}.pkl").write_bytes(raw)
    for hand in ("right", "left"):
        _assert_equal(read_hand(hand, tmp_path), hands[hand])


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_pickles_written_by_python_3_load_too(tmp_path, hands, chumpy, protocol):
    file = tmp_path / "MANO_RIGHT.pkl"
    file.write_bytes(pickle.dumps(_mano_content(hands["right"], chumpy), protocol=protocol))
    _assert_equal(read_mano_file(file), hands["right"])


def test_npz_loads_to_identical_values(tmp_path, hands):
    np.savez(tmp_path / "MANO_RIGHT.npz", **hands["right"])
    _assert_equal(read_hand("right", tmp_path / "MANO_RIGHT.npz"), hands["right"])


# --- harmful files


class _Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


_RAN = []


def _note(*arguments):
    _RAN.append(arguments)


@pytest.mark.parametrize(
    "call",
    [
        (os.system, "true"),
        (_note, "x"),
        (eval, "1"),
        (getattr, "", "join"),
        (np.load, "x"),
        (np.array, [1]),
        (copyreg.add_extension, "x", "y", 1),
        (types.SimpleNamespace,),
    ],
    ids=lambda call: call[0].__name__,
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickle_that_calls_anything_else_is_refused(tmp_path, monkeypatch, call, protocol):
    file = tmp_path / "MANO_RIGHT.pkl"
    monkeypatch.setitem(sys.modules, "harm", types.SimpleNamespace(_note=_note))
    monkeypatch.setattr(_note, "__module__", "harm")
    file.write_bytes(pickle.dumps({"v_template": _Calls(*call)}, protocol=protocol))
    with pytest.raises(ManoFileError, match="no MANO file needs"):
        read_mano_file(file)
    assert _RAN == []


@pytest.mark.parametrize(
    "raw",
    [
        b"cscipy.sparse.csc\ncsc_matrix\n}(Vtodense\nc_codecs\nencode\nu\x86b.",
        b"\x80\x02c_codecs\nencode\n(Vx\nVzlib\ntR.",
        b"ccopy_reg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR.",
        b"cnumpy\nndarray.tofile\n.",
        b"c__builtin__\nsetattr\n.",
        b"cchumpy\nch.os.system\n(Vtrue\ntR.",
    ],
)
def test_forged_opcodes_do_no_harm(tmp_path, raw):
    todense = scipy.sparse.csc_matrix.todense
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(raw)
    with pytest.raises(ManoFileError):
        read_mano_file(tmp_path / "MANO_RIGHT.pkl")
    assert scipy.sparse.csc_matrix.todense is todense


# --- broken and wrong files


def test_truncated_pickle_names_the_file(tmp_path, hands):
    file = tmp_path / "MANO_RIGHT.pkl"
    raw = pickle.dumps(hands["right"], protocol=2)
    for length in (0, 1, 100, len(raw) // 2, len(raw) - 1):
        file.write_bytes(raw[:length])
        with pytest.raises(ManoFileError, match="MANO_RIGHT.pkl cannot be read"):
            read_mano_file(file)


def test_npz_of_objects_or_torn_is_refused(tmp_path, hands):
    file = tmp_path / "MANO_RIGHT.npz"
    np.savez(file, **{**hands["right"], "f": np.array([_Calls(os.system, "true")], object)})
    with pytest.raises(ManoFileError, match="plain arrays"):
        read_mano_file(file)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ManoFileError, match="plain arrays"):
        read_mano_file(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": None}, "lacks.*weights"),
        ({"weights": np.zeros((778, 24))}, r"weights has shape \(778, 24\)"),
        ({"v_template": np.full((778, 3), np.nan)}, "finite"),
        ({"f": np.full((1538, 3), 778)}, "0-777"),
        ({"kintree_table": np.zeros((2, 16))}, "tree of 16 joints"),
    ],
)
def test_incomplete_files_say_what_is_wrong(tmp_path, hands, change, message):
    content = {**hands["right"], **change}
    content = {key: value for key, value in content.items() if value is not None}
    np.savez(tmp_path / "hand.npz", **content)
    with pytest.raises(ManoFileError, match=message):
        read_mano_file(tmp_path / "hand.npz")


def test_unknown_chumpy_class_is_named(tmp_path, hands, chumpy):
    content = {**hands["right"], "weights": chumpy.Sort(a=hands["right"]["weights"])}
    (tmp_path / "hand.pkl").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ManoFileError, match="weights is a chumpy.reordering.Sort"):
        read_mano_file(tmp_path / "hand.pkl")


def test_the_other_hands_file_is_refused(tmp_path, hands):
    np.savez(tmp_path / "MANO_RIGHT.npz", **hands["left"])
    with pytest.raises(ManoFileError, match="contains a left hand"):
        read_hand("right", tmp_path)
    with pytest.raises(ValueError, match="'right', 'left'"):
        read_hand("both", tmp_path)
    with pytest.raises(ManoFileError, match="ends in .pkl or .npz"):
        (tmp_path / "hand.txt").touch()
        read_hand("right", tmp_path / "hand.txt")


# --- the sign fault of the left hand


def test_left_shapedirs_are_corrected_only_where_faulty(tmp_path, hands):
    sound = hands["left"]
    faulty = {**sound, "shapedirs": sound["shapedirs"] * [[-1], [1], [1]]}
    np.savez(tmp_path / "MANO_RIGHT.npz", **hands["right"])
    for left in (sound, faulty):
        np.savez(tmp_path / "MANO_LEFT.npz", **left)
        _assert_equal(read_hand("left", tmp_path), sound)


def test_left_hand_without_the_right_beside_it_is_an_error(tmp_path, hands):
    np.savez(tmp_path / "MANO_LEFT.npz", **hands["left"])
    with pytest.raises(MissingManoFile, match="right hand"):
        read_hand("left", tmp_path)


# --- finding


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders standing for the argument, MANO_DIR and the documented place."""
    folders = {name: tmp_path / name for name in ("argument", "environment", "documented")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setattr(mano_file, "documented_folder", lambda: folders["documented"])
    monkeypatch.delenv("MANO_DIR", raising=False)
    return folders


def test_search_order(places, monkeypatch):
    for folder in places.values():
        (folder / "MANO_RIGHT.pkl").touch()
    assert mano_file.find_mano_file("right").parent == places["documented"]
    monkeypatch.setenv("MANO_DIR", str(places["environment"]))
    assert mano_file.find_mano_file("right").parent == places["environment"]
    assert mano_file.find_mano_file("right", places["argument"]).parent == places["argument"]


def test_subfolder_models_is_searched(places):
    (places["documented"] / "models").mkdir()
    (places["documented"] / "models" / "MANO_LEFT.npz").touch()
    assert mano_file.find_mano_file("left").parent.name == "models"


def test_missing_files_say_where_was_looked_and_what_to_do(places, monkeypatch):
    (places["documented"] / "MANO_LEFT.pkl").touch()
    monkeypatch.setenv("MANO_DIR", str(places["environment"]))
    with pytest.raises(MissingManoFile) as error:
        mano_file.find_mano_file("left")
    message = str(error.value)
    assert str(places["environment"] / "MANO_LEFT.pkl") in message
    assert str(places["environment"] / "models" / "MANO_LEFT.npz") in message
    for advice in ("MANO_DIR", "mano.is.tue.mpg.de", 'path="open"', str(places["documented"])):
        assert advice in message


def test_documented_folder_is_in_the_user_data_folder():
    assert mano_file.documented_folder().parts[-2:] == ("gesture_pretrain", "mano")


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("v_template", lambda values: 1000 * values, "v_template"),
        ("weights", lambda values: 0 * values, "weights"),
        ("J_regressor", lambda values: 2 * values, "J_regressor"),
    ],
)
def test_numbers_that_no_hand_has_are_refused(hands, tmp_path, key, change, message):
    """Millimetres, skinning weights of zero, and a regressor that does not average."""
    np.savez(tmp_path / "a.npz", **{**hands["right"], key: change(hands["right"][key])})
    with pytest.raises(ManoFileError, match=f"a.npz.*{message}"):
        read_mano_file(tmp_path / "a.npz")


def test_a_chumpy_object_that_holds_itself_is_refused(hands, chumpy, tmp_path):
    loop = chumpy.Reshape(newshape=(778, 3))
    loop.a = loop
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({**hands["right"], "v_template": loop}))
    with pytest.raises(ManoFileError, match="itself"):
        read_mano_file(tmp_path / "a.pkl")
