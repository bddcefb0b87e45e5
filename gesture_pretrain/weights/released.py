"""Released weights: those that the package contains, and those that are downloaded.

`assets/released/NAME/` holds a backbone (`arch.tag`, written by `release_backbone`) or a pose
network (a name without a dot, written by `release_pose_model`), with its card. Matrices and kernels
are stored in half precision; loading converts them to float32.
"""

import hashlib
import re
import urllib.request
from pathlib import Path
from typing import NamedTuple

import gesture_pretrain
from gesture_pretrain.files import atomic_folder
from gesture_pretrain.files.json_file import parse_json
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.record import CARD_FILE, MODEL_FILE, is_backbone_name

FOLDER = Path(gesture_pretrain.__file__).parent / "assets" / "released"

# The pose network of `HandEstimator()` and of `gesture-pretrain predict`
POSE_NETWORK = "token_fusion_lite0"

HUB_PREFIX = "hf-hub:"
_HUB_PART = r"[A-Za-z0-9](?:[\w.-]*\w)?"
_HUB_ID = re.compile(
    rf"(?P<repo>{_HUB_PART}/{_HUB_PART})(@(?P<revision>{_HUB_PART}(/{_HUB_PART})*))?"
)
_HUB_FILES = (CARD_FILE, "*.safetensors", "README.md")
_TIMEOUT_S = 60


class Download(NamedTuple):
    """Where weights are downloaded from.

    Attributes:
        address: `hf-hub:organisation/name@commit`, or the URL of a folder with the files of the
            weights, such as `https://example.org/NAME`.
        sha256: SHA-256 of the card in it, which states those of the other files.
    """

    address: str
    sha256: str


# Further released weights by name; add your own with `DOWNLOADS[name] = Download(address, sha256)`.
DOWNLOADS: dict[str, Download] = {}


def released_backbones() -> set[str]:
    """Return the names of the released backbones."""
    return {name for name in _names() if is_backbone_name(name)}


def released_pose_networks() -> set[str]:
    """Return the names of the released pose networks."""
    return {name for name in _names() if not is_backbone_name(name)}


def released_folder(name: str, home: Path) -> Path:
    """Return the folder of released weights, which are downloaded if the package lacks them.

    Args:
        name: A released name.
        home: Registry folder, for the download.

    Raises:
        ConnectionError: The address cannot be reached.
        WeightsError: The SHA-256 of a downloaded file is not the expected one.
    """
    if name in _shipped():
        return FOLDER / name
    address, sha256 = DOWNLOADS[name]
    if address.startswith(HUB_PREFIX):
        folder = from_hub(address)
        _require_hash((folder / CARD_FILE).read_bytes(), sha256, f"{CARD_FILE} of {address}")
        return folder
    folder = home / "downloads" / sha256
    if not folder.is_dir():
        _download(address, sha256, folder)
    return folder


def _names() -> set[str]:
    return _shipped() | set(DOWNLOADS)


def _shipped() -> set[str]:
    return {card.parent.name for card in FOLDER.glob(f"*/{CARD_FILE}")}


def _download(address: str, sha256: str, folder: Path) -> None:
    """Write the card and the files that it lists; nothing is written unless all hashes match."""
    contents = {CARD_FILE: _fetched(f"{address}/{CARD_FILE}", sha256)}
    card = parse_json(contents[CARD_FILE], f"{address}/{CARD_FILE}", WeightsError)
    # the card of a backbone lists its files; that of a pose network has the entry `weights`
    files = card["files"] if "files" in card else {MODEL_FILE: card["weights"]}
    for name, file in files.items():
        contents[name] = _fetched(f"{address}/{name}", file["sha256"])
    with atomic_folder(folder, overwrite=True) as part:
        for name, content in contents.items():
            (part / name).write_bytes(content)


def _fetched(url: str, sha256: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            content = answer.read()
    except (OSError, ValueError) as error:  # ValueError: not a URL
        raise ConnectionError(f"cannot download {url}: {error}") from error
    _require_hash(content, sha256, url)
    return content


def _require_hash(content: bytes, sha256: str, source: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsError(
            f"{source} has SHA-256 {found}, but {sha256} is expected. It is incomplete or another "
            "version: check the address and the hash."
        )


def parse_hub_id(identifier: str) -> tuple[str, str | None]:
    """Parse `organisation/name[@revision]`, with or without `hf-hub:`.

    Returns:
        Repository and revision.

    Raises:
        ValueError: The id has another form. Path components such as `..` are rejected.
    """
    match = _HUB_ID.fullmatch(identifier.removeprefix(HUB_PREFIX))
    if match is None:
        raise ValueError(
            f"{identifier!r} is not a repository id. Use {HUB_PREFIX}organisation/name or "
            f"{HUB_PREFIX}organisation/name@revision."
        )
    return match["repo"], match["revision"]


def from_hub(identifier: str) -> Path:
    """Download a Hugging Face repository if necessary; return its folder in the local cache.

    Args:
        identifier: See `parse_hub_id`.

    Raises:
        ConnectionError: The hub cannot be reached.
    """
    repository, revision = parse_hub_id(identifier)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            f"{HUB_PREFIX} needs the package huggingface_hub: pip install 'gesture-pretrain[hub]'"
        ) from error
    try:
        folder = snapshot_download(repository, revision=revision, allow_patterns=list(_HUB_FILES))
    except (OSError, ValueError) as error:  # what the client raises offline, or without access
        raise ConnectionError(
            f"cannot download {identifier!r} from the hub: {error}. Check the id and the network "
            "connection. To load a folder copied by hand, pass its path."
        ) from error
    return Path(folder)
