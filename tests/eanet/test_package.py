"""The package stands alone: it is installed as ``eanet`` and imports nothing of this repository."""

import subprocess
import sys

IMPORT_ALL = """
import importlib, pkgutil, sys
sys.modules["gesture_pretrain"] = sys.modules["adapters"] = None  # importing them now raises
import torch
threads = torch.get_num_threads()
import eanet
modules = [info.name for info in pkgutil.iter_modules(eanet.__path__)]
for name in modules:
    importlib.import_module(f"eanet.{name}")
assert len(modules) > 10, modules
assert torch.get_num_threads() == threads and not torch.cuda.is_initialized()
"""


def test_every_module_imports_alone(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
