"""Facts about an evaluation of frozen features: data, protocol, versions."""

import json
import sys
from importlib.metadata import version

import gesture_pretrain
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.evaluation.features.images import ProbedImages
from gesture_pretrain.evaluation.features.models import UNTRAINED, heads_fit
from gesture_pretrain.evaluation.features.result import BackboneResult, EvaluationContext
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.record import WeightRecord


def evaluation_context(
    *,
    index: HandIndex,
    sets: dict[str, GestureDataset],
    images: ProbedImages,
    train_split: str,
    taxonomy: Taxonomy,
    k: int,
    seed: int,
    main: BackboneResult,
    left_out: list[str],
    command: str,
    record: WeightRecord,
) -> EvaluationContext:
    """Describe what the scores were measured on."""
    synthetic = is_synthetic(index)
    circular = heads_fit(record, taxonomy)
    data_name = index.meta["data_name"]
    if synthetic and "synthetic" not in data_name:
        data_name = f"synthetic {data_name}"
    protocol = _protocol(sets[train_split], train_split, images.split, k, main, circular)
    return EvaluationContext(
        data_title=f"{data_name}, split {images.split}",
        synthetic=synthetic,
        images=image_kind(index),
        class_names={"coarse": taxonomy.coarse_names, "fine": taxonomy.fine_names},
        protocol=[images.note, *protocol],
        circular=circular,
        left_out=left_out,
        facts=_facts(index, taxonomy, sets, record),
        commands=[command] if command else [],
        trained_on=_trained_on(record),
        seed=seed,
    )


def is_synthetic(index: HandIndex) -> bool:
    """Return whether the images are rendered, according to the index."""
    return index.meta["synthetic"] not in (None, False)


def image_kind(index: HandIndex) -> str:
    """Describe the images: "synthetic images", "photographs", or "images" if unknown."""
    if is_synthetic(index):
        return "synthetic images"
    recorded = index.meta["kind"] == "folders" or index.meta["data_name"] == "InterHand2.6M"
    return "photographs" if recorded else "images"


def _trained_on(record: WeightRecord) -> str:
    if record.data is None:
        return "data not recorded"
    synthetic = record.data.synthetic and "synthetic" not in record.data.name
    return f"synthetic {record.data.name}" if synthetic else record.data.name


def _protocol(
    train: GestureDataset, train_split: str, split: str, k: int, main, circular: bool
) -> list[str]:
    lines = [
        f"Frozen features: average-pooled {main.table.features.shape[1]}-channel map, one "
        "unaugmented crop per image; no weight of the network is changed.",
        f"k-NN: k = {k}, cosine of features centred on the train mean, majority vote; a neighbour "
        "of the same capture and frame (another camera of the same moment) is never used.",
    ]
    if "probe_coarse" in main.scores:
        lines.append(
            f"Linear probe to gesture: multinomial logistic regression on standardised features of "
            f"{len(train):,} images of split {train_split}; the L2 penalty is chosen on held-out "
            "train subjects (on held-out moments where there is one subject)."
        )
    if "probe_joints" in main.scores:
        lines.append(
            "Joints: camera frame, mm, relative to the wrist; ridge regression in closed form, "
            "float64, penalty chosen like above; left and right hands by one map, as they are. "
            "MPJPE over valid joints without the wrist, which is the root."
        )
    if "probe_coarse" in main.scores:
        lines.append(
            "Circular: gesture scores and t-SNE use the labels that the backbone was trained with. "
            f"They say that it generalises to split {split}, not that its features help pose. The "
            "probe to joints is the measure that pretraining did not see."
            if circular
            else "Not circular: the backbone was not trained with these labels."
        )
    lines.append(
        f"'{UNTRAINED}' is the same architecture with random weights (seed 0), batch norm at its "
        "initial statistics."
    )
    return lines


def _facts(index: HandIndex, taxonomy: Taxonomy, sets, record: WeightRecord) -> dict[str, str]:
    packages = ("torch", "timm", "numpy", "scikit-learn", "scipy")
    facts = {
        "data": f"{index.meta['data_name']} ({', '.join(_counts(sets))})",
        "taxonomy": f"{taxonomy.name}: {taxonomy.num_coarse} coarse, {taxonomy.num_fine} fine "
        f"classes, sha256 {taxonomy.sha256[:12]}",
        "versions": f"gesture-pretrain {gesture_pretrain.__version__}, Python "
        f"{sys.version.split()[0]}, "
        + ", ".join(f"{package} {version(package)}" for package in packages),
    }
    weights = next(iter(record.files.values()))
    facts["backbone"] = f"{record.name}, sha256 {weights.sha256[:12]}, exported {record.created}"
    if record.label_variant != "gesture":
        facts["labels it was trained on"] = f"control: {record.label_variant}"
    if record.data is not None:
        facts["trained on"] = f"{record.data.name} (licence: {record.data.licence})"
    facts["commit"] = record.commit or "not recorded"
    facts["configuration"] = json.dumps(record.config)
    return facts


def _counts(sets: dict[str, GestureDataset]) -> list[str]:
    return [f"{len(dataset):,} images of {part}" for part, dataset in sets.items()]
