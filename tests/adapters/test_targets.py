"""Targets by name: built in, registered, announced by another package; and what is refused."""

import sys

import pytest
from toy_target import TOY

from adapters import targets as base
from adapters.targets import (
    BackboneNeeds,
    ExportTarget,
    PoseTarget,
    UnknownTarget,
    find_pose_target,
    find_target,
    level_name,
    list_targets,
    register_target,
)

OTHER_PACKAGE = """
from adapters.targets import ExportTarget
TARGET = ExportTarget({name!r}, "from another package", export=print)
NO_TARGET = 3
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(base, "_registered", {})


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a package with an entry point on the path, as an installer would."""

    def put(entry: str, *, name: str = "theirs", package: str = "other_targets"):
        (tmp_path / f"{package}.py").write_text(OTHER_PACKAGE.format(name=name))
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[gesture_pretrain.targets]\n{entry}\n")
        monkeypatch.delitem(sys.modules, package, raising=False)
        monkeypatch.syspath_prepend(str(tmp_path))

    return put


def test_an_unknown_target_lists_the_known_ones():
    with pytest.raises(UnknownTarget) as error:
        find_target("mmposse")
    for name in ("mmpose", "eanet", "token_fusion", "timm", "torchvision", "onnx", "hub"):
        assert name in str(error.value)
    assert "Did you mean 'mmpose'?" in str(error.value)


@pytest.mark.parametrize("name", ["timm", "torchvision", "onnx", "mmpose", "hub"])
def test_a_built_in_export_target_is_found_under_its_name(name):
    assert find_target(name).name == name


def test_listing_targets_imports_no_adapter(monkeypatch):
    for module in ("to_mmpose", "to_onnx", "to_timm", "to_hub"):
        monkeypatch.delitem(sys.modules, f"adapters.export.{module}", raising=False)
    list_targets()
    assert not [
        name
        for name in sys.modules
        if name in ("adapters.export.to_mmpose", "adapters.export.to_onnx")
    ]


def test_a_registered_target_is_found_and_listed():
    register_target(TOY)
    assert find_target("toy") is TOY
    assert "toy" in list_targets()


def test_a_name_is_given_once():
    register_target(TOY)
    with pytest.raises(ValueError, match="exists already, from an earlier"):
        register_target(TOY)
    with pytest.raises(ValueError, match="exists already, from this package"):
        register_target(ExportTarget("onnx", "another", export=print))


def test_what_is_registered_must_be_a_target():
    with pytest.raises(TypeError, match="provides a dict"):
        register_target({"name": "toy"})


def test_another_package_brings_a_target(install):
    install("theirs = other_targets:TARGET")
    assert "theirs" in list_targets()
    assert find_target("theirs").summary == "from another package"


def test_a_target_that_cannot_be_imported_is_listed_with_the_reason(install):
    install("theirs = no_such_module:TARGET")
    lines = base.describe_targets().splitlines()
    line = next(line for line in lines if line.startswith("theirs"))
    assert "not available: package" in line and "No module named 'no_such_module'" in line


def test_broken_packages_do_not_hide_the_other_targets(install):
    """One package whose object was renamed, or is no target, ended the whole list in an error."""
    install("theirs = other_targets:RENAMED\nothers = other_targets:NO_TARGET")
    lines = {line.split()[0]: line for line in base.describe_targets().splitlines()}
    assert "no attribute 'RENAMED'" in lines["theirs"] and "provides a int" in lines["others"]
    assert "not available" not in lines["timm"]
    with pytest.raises(ValueError, match="announces 'theirs' as other_targets:RENAMED"):
        find_target("theirs")


def test_an_announced_target_must_have_the_announced_name(install):
    install("theirs = other_targets:TARGET", name="something")
    with pytest.raises(ValueError, match="announces 'theirs'.*called 'something'"):
        find_target("theirs")


def test_an_announced_object_must_be_a_target(install):
    install("theirs = other_targets:NO_TARGET")
    with pytest.raises(TypeError, match="other_targets provides a int"):
        find_target("theirs")


def test_a_package_cannot_take_the_name_of_a_built_in_target(install):
    install("onnx = other_targets:TARGET")
    with pytest.raises(ValueError, match="more than once; also announced by other_targets"):
        find_target("onnx")


def test_an_export_target_cannot_be_trained():
    with pytest.raises(ValueError, match="is a file format"):
        find_pose_target("onnx")


def test_a_size_that_a_target_lacks_lists_those_it_has():
    with pytest.raises(ValueError, match="no size 'huge'; possible: full"):
        find_pose_target("eanet").options("huge")


def test_a_target_without_a_network_is_refused_by_python():
    class Incomplete(PoseTarget):
        name, summary, build_dataset = "x", "", list

    with pytest.raises(TypeError, match="build_model"):
        Incomplete()


def test_levels_are_high_and_low(backbone):
    assert level_name(backbone, "high") == "final"
    assert level_name(backbone, "low") == "stride16"
    with pytest.raises(ValueError, match="unknown level 'middle'"):
        level_name(backbone, "middle")
    with pytest.raises(ValueError, match="levels"):
        BackboneNeeds(levels=("middle",))
