"""Which packages there are; all else stands in setup.cfg, which can search one folder only."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["gesture_pretrain*", "adapters*"]),
        *find_packages("third_party", include=["eanet*"]),
    ],
    package_dir={"eanet": "third_party/eanet"},
)
