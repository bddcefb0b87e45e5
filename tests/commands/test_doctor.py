"""The doctor finds what is missing and names the line that fixes it."""

import os
import subprocess
import sys

import pytest
from tool_module import load_tool


@pytest.fixture(scope="module")
def doctor():
    return load_tool("doctor")


def _fail_import(doctor, monkeypatch, name, error):
    real = doctor.importlib.import_module

    def fake(module):
        if module == name:
            raise error
        return real(module)

    monkeypatch.setattr(doctor.importlib, "import_module", fake)


def test_a_complete_environment_is_well(repo_root, tmp_path):
    run = subprocess.run(
        [sys.executable, repo_root / "tools" / "doctor.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "GESTURE_PRETRAIN_HOME": str(tmp_path)},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "The core works." in run.stdout and f"registry: {tmp_path}, 0 backbones" in run.stdout
    assert "torch 2" in run.stdout and "CPU cores" in run.stdout


def test_requirements_are_those_of_the_package(doctor):
    names = " ".join(doctor.core_requirements())
    assert "timm >= 1.0.19" in names and "safetensors" in names and "#" not in names


def test_package_not_installed(doctor):
    finding = doctor.check_requirement("handnet_absent >= 2.0")
    assert finding.state == doctor.MISSING and "not installed" in finding.what
    assert finding.fix == 'pip install -U "handnet_absent >= 2.0"'


def test_package_too_old(doctor):
    finding = doctor.check_requirement("safetensors >= 99.0")
    assert finding.state == doctor.MISSING and ">= 99.0 is needed" in finding.what
    assert doctor.check_requirement("safetensors >= 0.0.1").state == doctor.OK


def test_versions_compare_by_number(doctor):
    """As strings, 1.0.9 would be newer than 1.0.19."""
    assert doctor._numbers("1.0.9") < doctor._numbers("1.0.19")
    assert doctor._numbers("2.9.0+cpu") == (2, 9, 0)


def test_opencv_without_libgl(doctor, monkeypatch):
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    _fail_import(doctor, monkeypatch, "cv2", error)
    finding = doctor.check_requirement("opencv-python >= 4.8")
    assert finding.state == doctor.MISSING and "libGL.so.1" in finding.what
    assert "opencv-python-headless" in finding.fix


def test_mmpose_route_is_optional(doctor, monkeypatch):
    error = ValueError("numpy.dtype size changed, may indicate binary incompatibility")
    _fail_import(doctor, monkeypatch, "xtcocotools", error)
    finding = doctor.check_mmpose()
    assert finding.state == doctor.OPTIONAL and "binary incompatibility" in finding.what
    assert "--no-build-isolation" in finding.fix


def test_python_too_old(doctor):
    finding = doctor.check_python((3, 9, 1))
    assert finding.state == doctor.MISSING and "make env PYTHON" in finding.fix


def test_mano_folder_is_empty(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("MANO_DIR", str(tmp_path))
    finding = doctor.check_mano()
    assert finding.state == doctor.OPTIONAL and str(tmp_path) in finding.what
    assert "MANO_DIR=" in finding.fix


def test_registry_that_cannot_be_written(doctor, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(blocked / "home"))
    finding = doctor.check_registry()
    assert finding.state == doctor.MISSING and "GESTURE_PRETRAIN_HOME=" in finding.fix


def test_gpu_that_torch_does_not_see(doctor, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    finding = doctor.check_device()
    assert finding.state == doctor.OPTIONAL and "sees no GPU" in finding.what and finding.fix


def test_missing_core_gives_exit_status_1(doctor, monkeypatch, capsys):
    finding = doctor.Finding(doctor.MISSING, "torch: not installed", "pip install torch")
    optional = doctor.Finding(doctor.OPTIONAL, "mmpose route: absent", "pip install mmpose")
    monkeypatch.setattr(doctor, "diagnose", lambda: iter([finding, optional]))
    assert doctor.main() == 1
    assert "-> pip install torch" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "diagnose", lambda: iter([optional]))
    assert doctor.main() == 0


def test_help_is_help(doctor, capsys):
    # --help and any misspelt option ran the whole examination
    for option, status in (("--help", 0), ("--hlp", 2)):
        with pytest.raises(SystemExit) as end:
            doctor.main([option])
        assert end.value.code == status
    assert "torch" not in capsys.readouterr().out
