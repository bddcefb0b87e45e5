"""Where no MANO files are found, each tool names its own option beside MANO_DIR."""

from pathlib import Path

import pytest
from pose_run import write_pose_index
from tool_module import load_tool, refused_by

from adapters.pose.stage import resolve_config
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights.export import export_backbone

REPO_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    return write_pose_index(tmp_path_factory.mktemp("missing_mano") / "data")


@pytest.fixture(autouse=True)
def no_mano(tmp_path, monkeypatch):
    monkeypatch.setenv("MANO_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))


def refusal(tool: str, arguments: list) -> str:
    """Standard error of a tool that ends with wrong input."""
    said = refused_by(load_tool(tool), arguments)
    assert "no MANO file of the right hand" in said
    return said


def train_arguments(index, out, *extra) -> list[str]:
    config = REPO_ROOT / "configs" / "pose" / "eanet_tiny_synthetic.py"
    small = ["data.workers=0", "backbone.arch=test_resnet", "backbone.size_px=64"]
    return [str(a) for a in (config, "--data", index, "--out", out, "--device", "cpu", *small)] + [
        *extra
    ]


def test_train(index, tmp_path):
    given = train_arguments(index, tmp_path / "run", "hand_model.path=none")
    said = refusal("train", given)
    assert "MANO_DIR" in said and "--mano PATH" in said and "--mano open" in said


def test_the_hand_model_of_a_call_replaces_that_of_the_config():
    given = {"hand_model.path": "open", "seed": 7}
    config = resolve_config("eanet_tiny_synthetic", ["hand_model.path=none"], given)
    assert config["hand_model"] == {"path": "open", "tip_convention": "smplx"}
    assert config["seed"] == 7


def test_swap_backbone(index, tmp_path):
    name = export_backbone(build_backbone("test_resnet", size_px=64), tag="tiny").name
    given = ["--target", "eanet", "--size", "tiny", "--backbone", name, "--baseline", "random"]
    place = ["--data", index, "--out", tmp_path / "out", "--steps", "1"]
    said = refusal(
        "swap_backbone",
        [*given, *place, "--allow-projection", "--mano", tmp_path, "data.workers=0"],
    )
    assert "MANO_DIR" in said and "--mano PATH" in said and "--mano open" in said


def test_transfer_experiment_names_the_key_of_its_plan(index, tmp_path):
    plan = REPO_ROOT / "configs" / "experiments" / "demo.py"
    given = [plan, "status", "--data", index, "--out", tmp_path, "finetuning.hand_model.path=none"]
    # one arm that needs no registered weights
    one_arm = ["arms={'random': {'init': 'random', 'text': 'no pretraining'}}", "comparisons=[]"]
    one_arm += ["targets={'EANet': {'target': 'eanet', 'model': {'size': 'tiny'}, 'text': 'tiny'}}"]
    said = refusal("transfer_experiment", [*given, *one_arm])
    assert "MANO_DIR" in said and "finetuning.hand_model.path=open" in said


def test_evaluate(index, tmp_path):
    said = refusal(
        "evaluate", ["predictions", "A=a.npz", "--data", index, "--out", tmp_path / "out"]
    )
    for option in ("MANO_DIR", "--mano PATH", "--mano open", "--mano none"):
        assert option in said
