"""Push to and pull from a repository, with a local folder in the hub's place."""

import inspect
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapters.export.to_hub import pull_backbone, push_backbone
from adapters.targets import find_target
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.registry import load_backbone


class LocalHub:
    """Folders that behave as the hub does, as far as push and pull require."""

    def __init__(self, root: Path):
        self.root, self.private = root, {}

    def create_repo(self, repo_id, *, private, exist_ok):
        assert exist_ok
        self.private.setdefault(repo_id, private)
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, revision, commit_message):
        for name in allow_patterns:
            shutil.copyfile(Path(folder_path) / name, self._branch(repo_id, revision) / name)

    def snapshot_download(self, repo_id, *, revision, allow_patterns):
        if not (self.root / repo_id).is_dir():
            raise OSError(f"404: no repository {repo_id}")
        return str(self._branch(repo_id, revision))

    def _branch(self, repo_id, revision):
        folder = self.root / repo_id / (revision or "main")
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@pytest.fixture
def hub(tmp_path):
    return LocalHub(tmp_path / "hub")


def test_what_is_pushed_comes_back_bit_for_bit(registered, backbone, hub, tmp_path):
    assert push_backbone(registered.name, "lab/hands", client=hub) == "hf-hub:lab/hands"
    stored = pull_backbone("hf-hub:lab/hands", home=tmp_path / "elsewhere", client=hub)
    assert stored.name == "hrnet_w16_tiny.tiny"
    back = load_backbone(stored.name, home=tmp_path / "elsewhere")
    for name, value in backbone.net.state_dict().items():
        assert torch.equal(back.net.state_dict()[name], value)
    assert stored.record == replace(registered.record, source="hf-hub:lab/hands@main")


def test_only_checked_content_is_pulled(registered, hub, tmp_path):
    """The README is written from the card; a link out of the download is refused."""
    push_backbone(registered.name, "lab/x", client=hub)
    readme = tmp_path / "hub/lab/x/main/README.md"
    readme.write_text("<script>")
    pulled = pull_backbone("lab/x", home=tmp_path / "a", client=hub)
    assert "<script>" not in (pulled.path / "README.md").read_text()
    assert "lab/x@main" in (pulled.path / "README.md").read_text()
    readme.unlink()
    readme.symlink_to("/etc/passwd")
    with pytest.raises(WeightsError, match="link"):
        pull_backbone("lab/x", home=tmp_path / "b", client=hub)


@pytest.mark.parametrize(
    "repository", ["lab", "lab/x/y", "", "a/b@../../c", "../b", "a/..", "a/b@"]
)
def test_an_impossible_id_is_refused(registered, repository, hub):
    for call in (
        lambda: push_backbone(registered.name, repository, client=hub),
        lambda: pull_backbone(repository, client=hub),
        lambda: load_backbone(f"hf-hub:{repository}"),
    ):
        with pytest.raises(ValueError, match="not a repository id"):
            call()


def test_heads_travel_along(gesture_network, hub, tmp_path):
    taxonomy = Taxonomy.from_index_labels(["a", "b", "c"])
    gesture_network.heads = build_gesture_heads(
        512, num_coarse=taxonomy.num_coarse, num_fine=taxonomy.num_fine, hidden=8
    )
    stored = export_backbone(gesture_network, tag="h", taxonomy=taxonomy, out=tmp_path / "one")
    push_backbone(stored.path, "lab/heads", client=hub)
    pull_backbone("lab/heads", home=tmp_path / "two", client=hub)
    back = load_backbone("hrnet_w16_tiny.h", home=tmp_path / "two", with_heads=True)
    for name, value in gesture_network.heads.state_dict().items():
        assert torch.equal(back.heads.state_dict()[name], value)


def test_a_new_repository_is_private_unless_said(registered, hub):
    push_backbone(registered.name, "lab/one", client=hub)
    push_backbone(registered.name, "lab/two", private=False, client=hub)
    assert hub.private == {"lab/one": True, "lab/two": False}


def test_a_revision_is_kept_apart(registered, hub, tmp_path):
    assert push_backbone(registered.name, "lab/x@v2", client=hub).endswith("@v2")
    pull_backbone("lab/x@v2", home=tmp_path / "a", client=hub)
    with pytest.raises(WeightsError, match="no card"):
        pull_backbone("lab/x", home=tmp_path / "b", client=hub)


def test_a_changed_file_is_not_pulled(registered, hub, tmp_path):
    push_backbone(registered.name, "lab/x", client=hub)
    file = tmp_path / "hub/lab/x/main/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError):
        pull_backbone("lab/x", home=tmp_path / "home2", client=hub)
    assert not list((tmp_path / "home2").glob("*"))


def test_a_changed_file_is_not_pushed(registered, hub):
    file = registered.path / "model.safetensors"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(WeightsError):
        push_backbone(registered.name, "lab/x", client=hub)
    assert not hub.root.exists()


def test_a_taken_name_is_not_replaced_unasked(registered, hub):
    push_backbone(registered.name, "lab/x", client=hub)
    with pytest.raises(FileExistsError):
        pull_backbone("lab/x", client=hub)
    assert pull_backbone("lab/x", overwrite=True, client=hub).name == registered.name


def test_no_access_says_what_to_look_at(hub):
    with pytest.raises(ConnectionError, match="cannot pull lab/none: 404.*login"):
        pull_backbone("lab/none", client=hub)


def test_the_real_client_that_cannot_connect_is_one_message(registered, tmp_path):
    """Its HTTP library's error is no OSError: pushing without a network was a traceback."""
    huggingface_hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is absent")
    with socket.socket() as unused:  # bound, and nobody listens
        unused.bind(("127.0.0.1", 0))
        client = huggingface_hub.HfApi(f"http://127.0.0.1:{unused.getsockname()[1]}", token=False)
        with pytest.raises(ConnectionError, match="cannot push to lab/x"):
            push_backbone(registered.name, "lab/x", client=client)
        with pytest.raises(ConnectionError, match="cannot pull lab/x"):
            pull_backbone("lab/x", home=tmp_path / "other", client=client)


def test_the_real_client_takes_what_it_is_given(registered, hub, tmp_path):
    """Every call that the stand-in got fits the signature of huggingface_hub's own method."""
    huggingface_hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is absent")
    seen = []

    class Recorder:
        def __getattr__(self, name):
            def call(*args, **kwargs):
                method = getattr(huggingface_hub.HfApi, name)
                inspect.signature(method).bind(None, *args, **kwargs)
                seen.append(name)
                return getattr(hub, name)(*args, **kwargs)

            return call

    push_backbone(registered.name, "lab/x", client=Recorder())
    pull_backbone("lab/x", home=tmp_path / "other", client=Recorder())
    assert seen == ["create_repo", "upload_folder", "snapshot_download"]


def test_the_hub_is_a_target_for_exports(registered, hub):
    report = find_target("hub").export(registered, "lab/x", client=hub)
    assert report.how_to_load == "load_backbone('hf-hub:lab/x')"
    assert {path.name for path in report.files} == {"model.safetensors", "card.json", "README.md"}
