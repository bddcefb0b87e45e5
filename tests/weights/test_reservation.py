"""A registry name belongs to one run until its weights are stored."""

import pytest

from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.reservation import reserved_name

NAME = "test_resnet.tag"


def _store(home):
    export_backbone(build_backbone("test_resnet", size_px=64), tag="tag", out=home, overwrite=True)


def _run(tmp_path, name):
    (tmp_path / name / "checkpoints").mkdir(parents=True)
    (tmp_path / name / "checkpoints" / "1.pt").touch()
    return tmp_path / name


def test_a_second_run_is_refused_while_the_first_one_trains(tmp_path):
    first, second = _run(tmp_path, "first"), _run(tmp_path, "second")
    with reserved_name(tmp_path, NAME, first):
        for overwrite in (False, True):
            with pytest.raises(FileExistsError, match="first"):
                with reserved_name(tmp_path, NAME, second, overwrite=overwrite):
                    pass


def test_a_killed_run_keeps_its_name_and_a_deleted_one_does_not(tmp_path):
    first, second = _run(tmp_path, "first"), _run(tmp_path, "second")
    with pytest.raises(KeyboardInterrupt):
        with reserved_name(tmp_path, NAME, first):
            raise KeyboardInterrupt
    with pytest.raises(FileExistsError, match="first"):
        with reserved_name(tmp_path, NAME, second):
            pass
    with reserved_name(tmp_path, NAME, first) as check:
        check()
        _store(tmp_path)
    with pytest.raises(FileExistsError, match="already"):
        with reserved_name(tmp_path, NAME, second):
            pass
    with reserved_name(tmp_path, NAME, first):  # its own weights may be stored again
        pass
    with reserved_name(tmp_path, NAME, second, overwrite=True):
        pass


def test_a_run_without_a_checkpoint_reserves_nothing(tmp_path):
    with pytest.raises(ValueError):
        with reserved_name(tmp_path, NAME, tmp_path / "failed"):
            raise ValueError
    with reserved_name(tmp_path, NAME, tmp_path / "second"):
        pass


def test_weights_that_appear_during_the_run_are_not_replaced(tmp_path):
    with pytest.raises(FileExistsError, match="another process"):
        with reserved_name(tmp_path, NAME, tmp_path / "run") as check:
            _store(tmp_path)
            check()


def test_a_link_is_never_replaced(tmp_path):
    (tmp_path / NAME).symlink_to(tmp_path)
    with pytest.raises(FileExistsError, match="link"):
        with reserved_name(tmp_path, NAME, tmp_path / "run", overwrite=True):
            pass
