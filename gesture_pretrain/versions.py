"""Versions of installed packages, for records of results."""

from collections.abc import Iterable
from importlib import metadata


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each package, or "not installed"."""
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # also a checkout that is not installed
            versions[name] = "not installed"
    return versions
