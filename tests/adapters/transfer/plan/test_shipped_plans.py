"""Every shipped plan reads, audits and plans; the paper's runs to its end on a miniature tree."""

from pathlib import Path

import pytest
from toy_pose import SIZE_PX

from adapters.pose.sections import check_pose_sections
from adapters.targets import find_pose_target
from adapters.transfer.plan.audit import audit_plan
from adapters.transfer.plan.cells import FINETUNING, PRETRAINING, cells_of
from adapters.transfer.plan.file import read_plan
from adapters.transfer.report.build import write_report
from adapters.transfer.run.execution import run_plan
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.weights.export import export_backbone

PLANS = sorted((Path(__file__).parents[4] / "configs" / "experiments").glob("*.py"))
# what a machine without MANO files and ImageNet weights needs changed
OFFLINE = ["finetuning.hand_model.path=open"]


def offline_plan(path, index, *overrides):
    plan = read_plan(path, [f"data.index={str(index)!r}", *OFFLINE, *overrides])
    without_imagenet = {name: arm for name, arm in plan.arms.items() if arm.init != "timm"}
    return plan, without_imagenet


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plan_reads_and_its_sections_are_those_of_the_runners(path, toy_index):
    plan, _ = offline_plan(path, toy_index)
    for name, target in plan.targets.items():
        found = find_pose_target(target.target)
        sections = {**plan.finetuning, **target.finetuning}
        sections["data"] = {**plan.data, **sections["data"]}
        check_pose_sections(found, model=target.model, **sections)
        assert target.text and plan.backbone_of(name) in plan.backbones
    assert plan.comparisons and all(arm.text for arm in plan.arms.values())


def store_what_a_plan_names(plan) -> None:
    """Untrained stand-ins for the registered weights that a plan starts from."""
    (backbone,) = {tuple(sorted(b.items())) for b in plan.backbones.values()}
    for arm in plan.arms.values():
        if arm.weights is not None:
            tag = arm.weights.partition(".")[2]
            export_backbone(build_backbone(**dict(backbone)), tag=tag)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plan_makes_cells_without_leaks(path, toy_index, tmp_path, monkeypatch):
    plan, arms = offline_plan(path, toy_index)
    if len(arms) < len(plan.arms):
        pytest.skip("asks for ImageNet weights; see the miniature run")
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path))
    if any(arm.weights for arm in plan.arms.values()):
        store_what_a_plan_names(plan)
    table = cells_of(plan)
    pretrained = any(arm.pretrained_here for arm in plan.arms.values())
    stages = {cell.stage for cell in table.cells}
    assert stages == ({PRETRAINING, FINETUNING} if pretrained else {FINETUNING})
    assert all(audit.leaks == {} for audit in audit_plan(plan, table).values())


@pytest.mark.slow  # a minute: 18 cells
def test_table2_runs_to_the_end_on_a_miniature_tree(tmp_path, monkeypatch):
    root = write_synthetic(
        tmp_path / "interhand26m",
        images_per_split={"train": 60, "val": 20, "test": 30},
        size_px=SIZE_PX,
        cameras_per_frame=2,
        subjects={"train": 3, "val": 1, "test": 3},
        gestures=["thumbup_normal", "fist", "aokay", "three_count"],
        workers=0,
        progress=False,
    )
    index = build_interhand_index(root, progress=False)
    path = next(path for path in PLANS if path.stem == "table2")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # ImageNet weights are left out with the reason
    small = {"arch": "hrnet_w16_tiny", "size_px": 64}
    plan = read_plan(
        path,
        [
            f"data.index={str(index)!r}",
            *OFFLINE,
            f"backbones={ {'hrnet': small, 'resnet50': {**small, 'arch': 'test_resnet'}}!r}",
            "data.workers=0",
            "data.batch_size=8",
            "pretraining.data.batch_size=8",
            "finetuning.data.batch_size=8",
            "pretraining.heads.hidden=8",
            "pretraining.schedule={'iterations': 2}",
            "finetuning.schedule={'iterations': 2}",
            "pretraining.training.threads=1",
            "finetuning.training.threads=1",
            "diagnostics=none",
            "seeds=[0]",
            *(
                f"targets.{name}.model.{key}={value}"
                for name, target in read_plan(path).targets.items()
                for key, value in (("size", "tiny"), ("allow_projection", True))
                if key == "size" or target.target == "eanet"
            ),
        ],
    )
    table = cells_of(plan)
    result = run_plan(plan, tmp_path / "out", workers=2)
    assert result.is_complete, result
    assert set(table.left_out) <= {"imagenet"}
    page = write_report(plan, table, tmp_path / "out").read_text()
    for name in plan.targets:
        assert f"{name}, gesture" in page
    assert "eanet_corrected" in page and "Arm imagenet was left out" in page
