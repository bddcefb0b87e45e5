"""Where no MANO files are found, each tool names its own option beside MANO_DIR."""

import runpy
from pathlib import Path

import pytest
from pose_run import write_pose_index

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


def refusal(tool: str, arguments: list, capsys) -> str:
    """Standard error of a tool that ends with wrong input."""
    run = runpy.run_path(str(REPO_ROOT / "tools" / f"{tool}.py"))["run"]
    assert run([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr().err
    assert "no MANO file of the right hand" in said and "Traceback" not in said
    return said


def train_arguments(index, out, *extra) -> list[str]:
    config = REPO_ROOT / "configs" / "pose" / "eanet_tiny_synthetic.py"
    small = ["data.workers=0", "backbone.arch=test_resnet", "backbone.size_px=64"]
    return [str(a) for a in (config, "--data", index, "--out", out, "--device", "cpu", *small)] + [
        *extra
    ]


def test_train(index, tmp_path, capsys):
    given = train_arguments(index, tmp_path / "run", "hand_model.path=none")
    said = refusal("train", given, capsys)
    assert "MANO_DIR" in said and "--mano PATH" in said and "--mano open" in said


def test_the_options_of_train_reach_the_config(index, tmp_path):
    tool = runpy.run_path(str(REPO_ROOT / "tools" / "train.py"))
    given = train_arguments(index, tmp_path, "hand_model.path=none", "--mano", "open", "--seed=7")
    config = tool["resolved_config"](tool["parse_arguments"](given))
    assert config["hand_model"] == {"path": "open", "tip_convention": "smplx"}
    assert config["seed"] == 7


def test_swap_backbone(index, tmp_path, capsys):
    name = export_backbone(build_backbone("test_resnet", size_px=64), tag="tiny").name
    given = ["--target", "eanet", "--size", "tiny", "--backbone", name, "--baseline", "random"]
    place = ["--data", index, "--out", tmp_path / "out", "--steps", "1", "--device", "cpu"]
    said = refusal(
        "swap_backbone",
        [*given, *place, "--allow-projection", "--mano", tmp_path, "data.workers=0"],
        capsys,
    )
    assert "MANO_DIR" in said and "--mano PATH" in said and "--mano open" in said


def test_transfer_experiment_names_the_key_of_its_plan(index, tmp_path, capsys):
    plan = REPO_ROOT / "configs" / "experiments" / "demo.py"
    given = [plan, "status", "--data", index, "--out", tmp_path, "finetuning.hand_model.path=none"]
    # one arm that needs no registered weights
    one_arm = ["arms={'random': {'init': 'random', 'text': 'no pretraining'}}", "comparisons=[]"]
    one_arm += ["targets={'EANet': {'target': 'eanet', 'model': {'size': 'tiny'}, 'text': 'tiny'}}"]
    said = refusal("transfer_experiment", [*given, *one_arm], capsys)
    assert "MANO_DIR" in said and "finetuning.hand_model.path=open" in said


def test_evaluate(index, tmp_path):
    main = runpy.run_path(str(REPO_ROOT / "tools" / "evaluate.py"))["main"]
    given = ["predictions", "any.npz", "--data", str(index), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        main(given)
    said = str(stopped.value)
    for option in ("MANO_DIR", "--mano PATH", "--mano open", "--mano none"):
        assert option in said
