"""Which packages there are; all else is in setup.cfg, which can search one folder only."""

from pathlib import Path

from setuptools import find_packages, setup

# the shipped configs are found by name wherever the package is installed
FOLDERS = [path for path in sorted(Path("configs").iterdir()) if path.is_dir()]
CONFIGS = ["configs", *(f"configs/{p.name}" for p in FOLDERS if p.name != "__pycache__")]

setup(
    packages=[
        *find_packages(include=["gesture_pretrain*", "adapters*"]),
        *find_packages("third_party", include=["eanet*"]),
        *(f"gesture_pretrain.{folder.replace('/', '.')}" for folder in CONFIGS),
    ],
    package_dir={
        "eanet": "third_party/eanet",
        **{f"gesture_pretrain.{folder.replace('/', '.')}": folder for folder in CONFIGS},
    },
)
