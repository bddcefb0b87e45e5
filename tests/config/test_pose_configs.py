"""Every shipped pose config builds; the small ones run a batch and train every parameter."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from pose_run import write_pose_index

from adapters.pose.sections import check_pose_config
from adapters.pose.stage import resolve_config
from adapters.pose.training import build_pose_runner
from adapters.targets import find_pose_target, model_options
from gesture_pretrain.config.file import read_config

REPO_ROOT = Path(__file__).parents[2]
FOLDER = REPO_ROOT / "configs" / "pose"
CONFIGS = sorted(FOLDER.glob("*.py"))
SMALL = [path for path in CONFIGS if "_synthetic" in path.stem]
LARGE = [path for path in CONFIGS if "_interhand" in path.stem]

NO_FILES = [
    "backbone.init=random",
    "hand_model.path=open",
    "data.workers=0",
    "data.batch_size=2",
    "data.val_images=2",
]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    return write_pose_index(tmp_path_factory.mktemp("pose_configs") / "data")


def built(path, index, out):
    """The run of a config without weights or MANO files of the user's."""
    config = read(path, [*NO_FILES, f"data.index={index}"])
    name = config["backbone"].pop("name", None)
    if name is not None:
        config["backbone"]["arch"] = name.split(".")[0]
    return build_pose_runner(out=out, device="cpu", progress=False, **config)


def read(path, overrides=()):
    config = read_config(path, overrides, kind="pose")
    check_pose_config(config)
    return config


def test_the_configs_of_the_paper_and_the_small_ones_are_there():
    assert {path.stem for path in CONFIGS} >= {
        "eanet_hrnet_w32_interhand",
        "eanet_resnet50_interhand",
        "eanet_tiny_synthetic",
        "token_fusion_hrnet_w32_interhand",
        "token_fusion_hrnet_w32_interhand_no_pt",
        "token_fusion_tiny_synthetic",
    }


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_large_config_builds_at_full_size(path, index, tmp_path):
    run = built(path, index, tmp_path)
    assert run.size_px == 256 and run.ledger.is_complete
    held = {id(p) for g in run.runner.optim_wrapper.optimizer.param_groups for p in g["params"]}
    assert held == {id(p) for p in run.model.parameters()}
    assert run.ledger.backbone.matched_share == 1.0


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_small_config_runs_a_batch_and_every_parameter_gets_a_gradient(path, index, tmp_path):
    run = built(path, index, tmp_path)
    model = run.runner.model.train()
    losses = model(next(iter(run.data.train)), mode="loss")
    sum(value for name, value in losses.items() if "loss" in name).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    broken = [name for name, p in model.named_parameters() if not torch.isfinite(p.grad).all()]
    assert broken == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_resolved_config_reads_back_to_itself(path, tmp_path):
    config = read(path, ["data.fraction=0.5"])
    copy = tmp_path / "config.py"
    copy.write_text(Config(config).pretty_text)
    assert read(copy) == config


def test_twin_without_pretraining_differs_in_one_line():
    with_it, without = (
        Config(read(FOLDER / f"token_fusion_hrnet_w32_interhand{end}.py")).pretty_text.splitlines()
        for end in ("", "_no_pt")
    )
    start = [line for line in with_it if line not in without]
    other = [line for line in without if line not in with_it]
    text = (FOLDER / "token_fusion_hrnet_w32_interhand_no_pt.py").read_text()
    code = [line for line in text.split('"""')[2].splitlines() if line and "import" not in line]
    assert code == [
        "with read_base():",
        'backbone = dict(arch="hrnet_w32", init="imagenet", size_px=256)',
    ]
    joined = " ".join(start + other)
    assert "hrnet_w32" in joined and "guidance" not in joined and "optimizer" not in joined


def test_unknown_section_key_and_target_are_named():
    with pytest.raises(ValueError, match="Unknown key heads.*hand_model"):
        read(SMALL[0], ["heads.hidden=1"])
    with pytest.raises(ValueError, match="Unknown key schedule.steps.*iterations"):
        read(SMALL[0], ["schedule.steps=1"])
    with pytest.raises(LookupError, match="eanett"):
        read(SMALL[0], ["target=eanett"])


def test_no_guidance_is_a_word_on_the_command_line():
    changed = resolve_config("token_fusion_tiny_synthetic", ["model.guidance=none"])
    assert model_options(find_pose_target("token_fusion"), changed["model"])["guidance"] == "none"
