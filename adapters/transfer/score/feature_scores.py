"""Pose errors of the frozen features of each arm's initial weights, before any fine-tuning.

A linear probe and k-NN predict the joints, which pretraining never used. Compared with the gains
after fine-tuning, they show whether frozen features predict the gain.
"""

from pathlib import Path

from adapters.transfer.plan.cell import FINETUNING, CellTable, config_key
from adapters.transfer.plan.plan import Plan
from adapters.transfer.plan.rows import finetuning_rows, scored_rows
from adapters.transfer.run.cell_folder import CellFolder
from adapters.transfer.score.results import FeatureScore
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.splits.select import spread
from gesture_pretrain.evaluation.features.extract import FeatureTable, extract_features
from gesture_pretrain.evaluation.features.joint_error import mpjpe_mm
from gesture_pretrain.evaluation.features.measures import joint_predictions
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.pretraining.labels import load_taxonomy
from gesture_pretrain.weights.registry import load_backbone
from gesture_pretrain.weights.starting_backbone import build_starting_backbone

_NEIGHBOURS = 20

ArmKey = tuple[str, str, int]  # arm, backbone, seed
TablePair = tuple[FeatureTable, FeatureTable]  # train, test


def feature_tables(plan: Plan, table: CellTable, out: Path) -> dict[ArmKey, TablePair]:
    """Extract features of every arm's initial weights on some training and test images.

    They are cached in `out/features`.
    """
    index = HandIndex.open(plan.data["index"])
    test_index = HandIndex.open(plan.test.index) if plan.test.index else index
    settings = plan.diagnostics
    train_rows = spread(finetuning_rows(index, plan.data), settings.train_images)
    test_rows = spread(scored_rows(plan, test_index), settings.test_images)
    found: dict[ArmKey, TablePair] = {}
    for key, weights in _initial_weights(table, out).items():
        parts = []
        for source, rows in ((index, train_rows), (test_index, test_rows)):
            name = config_key(
                {"weights": weights, "rows": rows.tolist(), "index": source.fingerprint}
            )
            path = Path(out) / "features" / f"{name}.npz"
            if not path.exists():
                _extract(plan, weights, source, rows, out, table).save(path)
            parts.append(FeatureTable.load(path))
        found[key] = tuple(parts)
    return found


def feature_score(key: ArmKey, tables: TablePair) -> FeatureScore:
    """Score a linear probe and k-NN to joints."""
    train, test = tables
    k = min(_NEIGHBOURS, int(train.joint_valid.all(1).sum()) // 4)
    predicted, truth = joint_predictions(train, test, k, {}), (test.joints_rel_mm, test.joint_valid)
    return FeatureScore(
        *key,
        probe_mpjpe_mm=mpjpe_mm(predicted["probe_joints_mm"], *truth),
        knn_mpjpe_mm=mpjpe_mm(predicted["knn_joints_mm"], *truth),
    )


def _initial_weights(table: CellTable, out: Path) -> dict[ArmKey, dict]:
    """Describe the initial weights of each (arm, backbone, seed) whose weights exist."""
    found = {}
    for cell in table.cells:
        key = (cell.arm, cell.backbone, cell.seed)
        if cell.stage != FINETUNING or key in found:
            continue
        weights = {**cell.config["weights"], "size_px": cell.config["size_px"]}
        if cell.needs is not None:
            before = table.by_key()[cell.needs]
            if CellFolder(out, before).result(verify=True) is None:
                continue
        elif weights.get("init") == "random":
            weights["seed"] = cell.seed
        found[key] = weights
    return found


def _extract(plan, weights, index, rows, out, table) -> FeatureTable:
    backbone = _load(weights, out, table)
    classes = load_taxonomy(plan.data.get("taxonomy", "interhand26m"), None, 0, index)
    dataset = GestureDataset(index, rows, classes, weights["size_px"], announce=None)
    return extract_features({"backbone": backbone}, dataset, index, progress=False)["backbone"]


def _load(weights: dict, out: Path, table: CellTable) -> Backbone:
    if "pretraining" in weights:
        folder = CellFolder(out, table.by_key()[weights["pretraining"]])
        return load_backbone(folder.path / folder.result()["weights"])
    if "stored" in weights:
        return load_backbone(weights["stored"])
    return build_starting_backbone(
        weights["arch"],
        init=weights["init"],
        size_px=weights["size_px"],
        seed=weights.get("seed", 0),
    )
