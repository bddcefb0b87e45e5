"""The doctor finds what is missing and names the line that fixes it."""

import configparser
import os
import subprocess
import sys

import pytest

from gesture_pretrain.commands import doctor
from gesture_pretrain.commands.main import run_commands


def test_a_complete_environment_is_well(repo_root, tmp_path):
    run = subprocess.run(
        [sys.executable, repo_root / "tools" / "doctor.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "GESTURE_PRETRAIN_HOME": str(tmp_path)},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "The core works." in run.stdout and f"registry: {tmp_path}, " in run.stdout
    assert "torch 2" in run.stdout and "CPU cores" in run.stdout


def test_core_requirements_and_extras_are_those_of_the_package(repo_root):
    config = configparser.ConfigParser()
    config.read(repo_root / "setup.cfg", encoding="utf-8")
    required = config["options"]["install_requires"]
    lines = [line for line in required.splitlines() if line and not line.startswith("#")]
    assert {line.partition(" ")[0] for line in lines} == set(doctor.CORE)
    assert set(doctor.EXTRA_OF.values()) <= set(config["options.extras_require"])


def test_package_not_installed_or_too_old():
    finding = doctor.check_package("handnet_absent", "2.0")
    assert finding.state == doctor.MISSING and "not installed" in finding.what
    assert finding.fix == 'pip install -U "handnet_absent >= 2.0"'
    finding = doctor.check_package("safetensors", "99.0")
    assert finding.state == doctor.MISSING and "99.0" in finding.what
    assert doctor.check_package("safetensors", "0.0.1").state == doctor.OK


def test_versions_compare_by_number():
    """As strings, 1.0.9 would be newer than 1.0.19."""
    assert doctor._numbers("1.0.9") < doctor._numbers("1.0.19")
    assert doctor._numbers("2.9.0+cpu") == (2, 9, 0)


def test_an_extra_that_is_missing_or_broken_is_named(monkeypatch):
    errors = {
        "smplx": ModuleNotFoundError("No module named 'smplx'", name="smplx"),
        "embreex": ValueError("numpy.dtype size changed, may indicate binary incompatibility"),
    }

    def fail(module):
        raise errors.get(module) or ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    for extra, problem in (
        ("mano", "smplx not installed"),
        ("render", "binary incompatibility"),
        ("train", "libGL.so.1"),
    ):
        finding = doctor.check_extra(extra)
        assert finding.state == doctor.OPTIONAL and problem in finding.what
        assert f"gesture-pretrain[{extra}]" in finding.fix


@pytest.mark.parametrize("name", ["adapters", "eanet"])
def test_a_foreign_package_of_the_same_name_is_reported(name, monkeypatch, tmp_path):
    assert doctor.check_name(name).state == doctor.OK
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    finding = doctor.check_name(name)
    assert finding.state == doctor.MISSING and str(tmp_path) in finding.what


def test_mano_folder_is_empty(monkeypatch, tmp_path):
    monkeypatch.setenv("MANO_DIR", str(tmp_path))
    finding = doctor.check_mano()
    assert finding.state == doctor.OPTIONAL and str(tmp_path) in finding.what
    assert "MANO_DIR=" in finding.fix


def test_registry_that_cannot_be_written(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(blocked / "home"))
    finding = doctor.check_registry()
    assert finding.state == doctor.MISSING and "GESTURE_PRETRAIN_HOME=" in finding.fix


def test_gpu_that_torch_does_not_see(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    finding = doctor.check_device()
    assert finding.state == doctor.OPTIONAL and "sees no GPU" in finding.what and finding.fix


def test_missing_core_gives_exit_status_1(monkeypatch, capsys):
    finding = doctor.Finding(doctor.MISSING, "torch: not installed", "pip install torch")
    optional = doctor.Finding(doctor.OPTIONAL, "mmpose route: absent", "pip install mmpose")
    monkeypatch.setattr(doctor, "diagnose", lambda: iter([finding, optional]))
    assert run_commands(["doctor"]) == 1
    assert "-> pip install torch" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "diagnose", lambda: iter([optional]))
    assert run_commands(["doctor"]) == 0


def test_help_is_help(capsys):
    # --help and any misspelt option ran the whole examination
    for option, status in (("--help", 0), ("--hlp", 2)):
        with pytest.raises(SystemExit) as end:
            run_commands(["doctor", option])
        assert end.value.code == status
    assert "torch" not in capsys.readouterr().out
