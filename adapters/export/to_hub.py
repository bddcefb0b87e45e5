"""Push and pull of exported weights to and from Hugging Face repositories, with checks.

A repository has one exported folder: weights, heads, card and README. Pulled weights are registered
under the name on their card. `load_backbone("hf-hub:org/name")` reads a repository directly.
"""

import re
import shutil
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.targets import ExportReport, ExportTarget
from gesture_pretrain.files import atomic_folder
from gesture_pretrain.models.timm_config import TIMM_CONFIG_FILE
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.export import README_FILE
from gesture_pretrain.weights.folder import StoredWeights, load_weights, open_weights
from gesture_pretrain.weights.ledger import LedgerEntry, WeightLedger
from gesture_pretrain.weights.model_card import model_card
from gesture_pretrain.weights.record import CARD_FILE, HEADS_FILE, MODEL_FILE
from gesture_pretrain.weights.registry import find_backbone, registry_home
from gesture_pretrain.weights.released import HUB_PREFIX, parse_hub_id

if TYPE_CHECKING:
    from huggingface_hub import HfApi

FILES = (MODEL_FILE, HEADS_FILE, CARD_FILE, README_FILE, TIMM_CONFIG_FILE)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def push_backbone(
    source: str | PathLike,
    repository: str,
    *,
    private: bool = True,
    home: str | PathLike | None = None,
    client: "HfApi | None" = None,
) -> str:
    """Upload exported weights, creating the repository if it is missing.

    The weights are first checked against their card. Whether they may be published depends on the
    training data, whose licence the card names. Repositories are therefore private by default.

    Args:
        source: Name of registered weights, or the path of an exported folder.
        repository: "organisation/name", or "organisation/name@branch".
        private: Make a newly created repository private.
        home: Registry folder, as in `load_backbone`.
        client: Client of the hub; None for `huggingface_hub.HfApi()` with the user's login.

    Returns:
        The source for `load_backbone`: "hf-hub:organisation/name".

    Raises:
        ValueError: Invalid repository id.
        WeightsError: The weights are missing, damaged or changed.
        ConnectionError: The hub refused the request or is unreachable.
    """
    repository, revision = parse_hub_id(repository)
    stored = find_backbone(source, home=home)
    load_weights(stored.path, with_heads=stored.record.heads is not None)
    hub = _client(client)
    try:
        hub.create_repo(repository, private=private, exist_ok=True)
        hub.upload_folder(
            repo_id=repository,
            folder_path=str(stored.path),
            allow_patterns=[name for name in FILES if (stored.path / name).is_file()],
            revision=revision,
            commit_message=f"{stored.name}, exported {stored.record.created}",
        )
    except _client_errors() as error:
        raise _unreachable("push to", repository, error) from error
    return f"{HUB_PREFIX}{repository}" + (f"@{revision}" if revision else "")


def pull_backbone(
    repository: str,
    *,
    home: str | PathLike | None = None,
    overwrite: bool = False,
    client: "HfApi | None" = None,
) -> StoredWeights:
    """Download weights into the registry; they are checked before they get their name.

    Args:
        repository: "organisation/name", or "organisation/name@revision" with a branch, tag or
            commit.
        home: Registry folder, as in `load_backbone`.
        overwrite: Replace weights of the same name.
        client: See `push_backbone`.

    Returns:
        Folder and card in the registry.

    Raises:
        ValueError: Invalid repository id.
        FileExistsError: The name is taken.
        WeightsError: The repository does not hold a complete, unchanged export.
        ConnectionError: The hub refused the request or is unreachable.
    """
    repository, revision = parse_hub_id(repository)
    try:
        folder = Path(
            _client(client).snapshot_download(
                repository, revision=revision, allow_patterns=list(FILES)
            )
        )
    except _client_errors() as error:
        raise _unreachable("pull", repository, error) from error
    for name in FILES:
        _require_own_file(folder, name)
    record = replace(open_weights(folder).record, source=_source(repository, revision, folder))
    target = registry_home(home) / record.name
    with atomic_folder(target, overwrite=overwrite) as part:
        for name in record.files:
            shutil.copyfile(folder / name, part / name)
        (part / CARD_FILE).write_text(record.to_json(), encoding="utf-8")
        # written from the card, which was checked; the repository's own text was not
        (part / README_FILE).write_text(model_card(record), encoding="utf-8")
        load_weights(part, with_heads=record.heads is not None)
    return open_weights(target)


def export_to_hub(
    stored: StoredWeights,
    path: str | Path,
    *,
    private: bool = True,
    client: "HfApi | None" = None,
) -> ExportReport:
    """Call `push_backbone` as an export target, with the repository id as `path`."""
    source = push_backbone(stored.path, str(path), private=private, client=client)
    state = load_weights(stored.path).net.state_dict()
    entries = tuple(LedgerEntry(n, "matched", v.numel()) for n, v in state.items())
    files = tuple(stored.path / name for name in FILES if (stored.path / name).is_file())
    return ExportReport(
        "hub", files, WeightLedger(entries, source=stored.name), f"load_backbone({source!r})"
    )


def _source(repository: str, revision: str | None, folder: Path) -> str:
    """Return repository and commit, after which the client names the folder of a download."""
    commit = folder.name if _COMMIT.fullmatch(folder.name) else revision or "main"
    return f"{HUB_PREFIX}{repository}@{commit}"


def _require_own_file(folder: Path, name: str) -> None:
    """Refuse links out of the download. The client's own links point into `blobs` next to it."""
    real, home = (folder / name).resolve(), folder.resolve()
    places = [home, home.parents[1] / "blobs"] if home.parent.name == "snapshots" else [home]
    if not any(real.is_relative_to(place) for place in places):
        raise WeightsError(
            f"{folder / name} is a link to {real}, outside of the download. Nothing was copied. "
            "Inspect the repository before you use it."
        )


def _client(client: "HfApi | None") -> "HfApi":
    if client is not None:
        return client
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ImportError(
            "The hub requires the package huggingface_hub: pip install 'gesture-pretrain[hub]'"
        ) from error
    return HfApi()


def _client_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that the client raises offline or without permission."""
    try:
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        return OSError, ValueError  # another client was given
    # without a connection, the error is one of the client's HTTP library
    return OSError, ValueError, *HfHubHTTPError.__bases__


def _unreachable(verb: str, repository: str, error: Exception) -> ConnectionError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return ConnectionError(
        f"cannot {verb} {repository}: {reason}. Check the id, the network connection and the "
        "permissions of the login (hf auth login)."
    )


TARGET = ExportTarget(
    name="hub",
    summary="the exported folder in a Hugging Face repository (path: ORGANISATION/NAME)",
    export=export_to_hub,
    takes="folder",
)
