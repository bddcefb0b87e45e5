"""Plans: what they may say, and the cells they come to."""

from types import SimpleNamespace

import pytest
from safetensors.torch import save_file
from toy_pose import toy_plan

from adapters.transfer.plan.audit import audit_plan, not_audited
from adapters.transfer.plan.cell import FINETUNING, PRETRAINING, Cell
from adapters.transfer.plan.cells import cells_of
from adapters.transfer.plan.file import plan_from, read_plan
from adapters.transfer.plan.plan import PlanError
from adapters.transfer.plan.rows import scored_rows
from adapters.transfer.study import open_study
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.record import DataRecord


def cells(index, **changes):
    return cells_of(plan_from(toy_plan(index, **changes)))


def of(table, **wanted):
    found = [c for c in table.cells if all(getattr(c, k) == v for k, v in wanted.items())]
    assert found, wanted
    return found


def test_every_arm_target_share_and_seed_is_a_cell(toy_index):
    table = cells(toy_index, fractions=[0.5, 1.0])
    assert len(of(table, stage=PRETRAINING)) == 2 * 2  # gesture and shuffled, two seeds
    assert len(of(table, stage=FINETUNING)) == 3 * 2 * 2
    assert len({cell.key for cell in table.cells}) == len(table.cells)
    for cell in table.cells:
        assert (cell.needs is not None) == (
            cell.stage == FINETUNING and cell.arm in ("gesture", "shuffled")
        )
    order = [cell.key for cell in table.cells]
    assert all(c.needs is None or order.index(c.needs) < order.index(c.key) for c in table.cells)


def test_arms_have_the_same_compute_and_data_and_differ_in_their_weights_only(toy_index):
    table = cells(toy_index)
    for seed in (0, 1):
        configs = [cell.config for cell in of(table, stage=FINETUNING, seed=seed)]
        without = [{k: v for k, v in config.items() if k != "weights"} for config in configs]
        assert without[0] == without[1] == without[2]
    first, second = (cell.config["sections"] for cell in of(table, stage=PRETRAINING, seed=0))
    assert (
        second["data"].pop("label_variant") == "shuffled" and second["data"].pop("label_seed") == 0
    )
    assert first == second
    # another seed, another shuffle and another part of the labels
    assert of(table, arm="shuffled", seed=1)[0].config["sections"]["data"]["label_seed"] == 1
    shares = [c.config["sections"]["data"]["fraction_seed"] for c in of(table, arm="random")]
    assert shares == [0, 1]


def test_what_changes_a_result_changes_the_key_and_the_place_of_the_data_does_not(
    toy_index, tmp_path
):
    base = {cell.label: cell.key for cell in cells(toy_index).cells}
    values = toy_plan(toy_index)
    values["finetuning"]["optimizer"] = {"lr": 5e-4}
    other = {cell.label: cell.key for cell in cells_of(plan_from(values)).cells}
    for label, key in base.items():
        assert (other[label] == key) == label.startswith("pretrain")
    values = toy_plan(toy_index)
    values["pretraining"]["optimizer"] = {"lr": 5e-4}
    other = {cell.label: cell.key for cell in cells_of(plan_from(values)).cells}
    for label, key in base.items():
        assert (other[label] == key) == ("random" in label)
    (tmp_path / "moved").symlink_to(toy_index.parent)
    moved = {cell.label: cell.key for cell in cells(tmp_path / "moved").cells}
    assert moved == base


def test_an_arm_states_the_weights_that_its_pretraining_starts_from(toy_index, tmp_path):
    def pretraining(init) -> Cell:
        arms = {"own": {"init": str(init), "pretrain": {}}}
        return of(cells(toy_index, arms=arms, comparisons=[]), stage=PRETRAINING, seed=0)[0]

    file = tmp_path / "weights.safetensors"
    keys = {pretraining("random").key}
    for seed in (1, 2):  # other weights under the same name are another cell
        save_file(build_backbone("test_resnet", size_px=32, seed=seed).net.state_dict(), file)
        cell = pretraining(file)
        assert cell.config["sections"]["backbone"]["init"] == str(file)
        keys.add(cell.key)
    assert len(keys) == 3
    without = of(cells(toy_index), arm="gesture", stage=PRETRAINING, seed=0)[0]
    assert without.key in keys  # random is the default


def test_an_arm_may_have_its_own_optimiser_and_nothing_else(toy_index):
    arms = toy_plan(toy_index)["arms"]
    own = {"init": "random", "finetuning": {"optimizer": {"lr": 3e-3}}}
    table = cells(toy_index, arms={**arms, "random": own})
    rates = {c.arm: c.config["sections"]["optimizer"]["lr"] for c in of(table, stage=FINETUNING)}
    assert rates == {"random": 3e-3, "gesture": 1e-3, "shuffled": 1e-3}


def test_fractions_that_select_the_same_images_are_refused(toy_index):
    with pytest.raises(PlanError, match="same"):
        cells(toy_index, fractions=[0.5, 0.5001])


def test_a_plan_that_pretrains_nothing_needs_no_pretraining_section(toy_index):
    values = toy_plan(toy_index, arms={"random": {"init": "random"}}, comparisons=[])
    del values["pretraining"]
    assert {cell.stage for cell in cells_of(plan_from(values)).cells} == {FINETUNING}


def test_longer_fine_tuning_spends_the_images_of_pretraining(toy_index):
    arms = {**toy_plan(toy_index)["arms"], "longer": {"init": "random", "extra": "pretraining"}}
    table = cells(toy_index, arms=arms)
    pretraining = of(table, stage=PRETRAINING, seed=0)[0]
    longer, short = (of(table, stage=FINETUNING, arm=a, seed=0)[0] for a in ("longer", "gesture"))
    assert longer.images == short.images + pretraining.images
    with pytest.raises(PlanError, match="no arm of the plan is pretrained"):
        only = {"longer": arms["longer"]}
        cells(toy_index, arms=only, comparisons=[])


def test_optional_arm_without_weights_is_left_out_with_the_reason(toy_index, tmp_path, monkeypatch):
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path))
    arms = toy_plan(toy_index)["arms"]
    missing = {"weights": "test_resnet.nobody", "optional": True}
    plan = plan_from(toy_plan(toy_index, arms={**arms, "other": missing}))
    table = cells_of(plan)
    assert "unknown backbone 'test_resnet.nobody'" in table.left_out["other"]
    kept = plan.without_arms(table.left_out)
    assert audit_plan(kept, table) and not_audited(kept) == []
    assert all(cell.arm != "other" for cell in table.cells)
    with pytest.raises(PlanError, match="arms.other: unknown backbone"):
        cells(toy_index, arms={**arms, "other": {**missing, "optional": False}})


def test_a_study_goes_on_without_the_comparisons_of_an_arm_that_is_left_out(
    toy_index, tmp_path, monkeypatch
):
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path))
    values = toy_plan(toy_index)
    kept = values["comparisons"][0]
    values["arms"]["other"] = {"weights": "test_resnet.nobody", "optional": True}
    values["comparisons"] = [kept, {"arm": "other", "reference": kept["reference"]}]
    study = open_study(values, out=tmp_path / "out")
    assert "other" in study.cells.left_out and "other" not in study.plan.arms
    assert [c.arm for c in study.plan.comparisons] == [kept["arm"]]
    study.audit(write=False)  # it read the card of the missing weights


@pytest.mark.parametrize("same_index", [True, False])
def test_stored_weights_are_audited_where_their_card_tells_the_rows(
    toy_index, tmp_path, monkeypatch, same_index
):
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path))
    index = HandIndex.open(toy_index)
    source = DataRecord.from_index_meta(
        index.meta, index_fingerprint=index.fingerprint if same_index else "another"
    )
    # the weights were trained on the very images that the plan scores
    export_backbone(
        build_backbone("test_resnet", size_px=32),
        tag="elsewhere",
        data=source,
        config={"data": {"index": "x", "train_split": "test", "val_split": None}},
        metrics={"iterations": 4},
    )
    arms = {"random": {"init": "random"}, "stored": {"weights": "test_resnet.elsewhere"}}
    plan = plan_from(toy_plan(toy_index, arms=arms, comparisons=[]))
    table = cells_of(plan)
    audits = audit_plan(plan, table)
    if same_index:
        assert not_audited(plan) == []
        assert audits[PRETRAINING].same_image == audits[PRETRAINING].test_images
    else:
        assert "test images are among them is unknown" in not_audited(plan)[0]
        assert PRETRAINING not in audits


@pytest.mark.parametrize(
    ("count", "starts"), [(None, [0, 1, 2, 3]), (2, [0, 0, 2, 2]), (1, [0] * 4)]
)
def test_seeds_share_the_pretrainings_that_a_plan_allows(toy_index, count, starts):
    table = cells(toy_index, seeds=[0, 1, 2, 3], pretrainings=count)
    pretraining = {cell.seed: cell.key for cell in of(table, stage=PRETRAINING, arm="gesture")}
    assert set(pretraining) == set(starts)
    tuned = of(table, stage=FINETUNING, arm="gesture")
    assert [cell.needs for cell in tuned] == [pretraining[seed] for seed in starts]


def test_a_curve_ends_before_the_training(toy_index):
    training = {"final_lr_ratio": 1, "iterations": 4}
    changes = {"schedule": training, "training": {"ema_decay": 0.9}}
    finetuning = toy_plan(toy_index)["finetuning"] | changes
    table = cells(toy_index, finetuning=finetuning, curve=[1, 2])
    assert of(table, stage=FINETUNING)[0].config["curve"] == [1, 2]
    with pytest.raises(PlanError, match="curve ends at 4"):
        cells(toy_index, finetuning=finetuning, curve=[2, 4])


def test_arms_of_a_target_restrict_it(toy_index):
    targets = {"toy": {"target": "toy_pose"}, "few": {"target": "toy_pose", "arms": ["gesture"]}}
    table = cells(toy_index, targets=targets)
    # the same run under two names is one cell
    assert len(of(table, stage=FINETUNING)) == 6


def test_a_missing_plan_lists_those_there(repo_root):
    with pytest.raises(FileNotFoundError, match="demo, "):
        read_plan(repo_root / "configs" / "experiments" / "missing.py")


def test_nothing_to_train_on_or_to_score_is_named(toy_index):
    with pytest.raises(PlanError, match="train_split"):
        cells(toy_index, data={"index": str(toy_index), "train_split": "val"})
    plan = plan_from(toy_plan(toy_index, test={"split": "val"}))
    with pytest.raises(PlanError, match="nothing to score"):
        audit_plan(plan, cells_of(plan))


def test_boxes_that_the_test_index_lacks_are_missed_before_anything_runs(toy_index):
    plan = plan_from(toy_plan(toy_index, test={"box_source": "rootnet"}))
    index = HandIndex.open(toy_index)
    assert len(scored_rows(plan, index)) == 40
    without = SimpleNamespace(select=index.select, root=index.root, columns={})
    with pytest.raises(PlanError, match="test.box_source is 'rootnet', but .* has no boxes"):
        scored_rows(plan, without)
