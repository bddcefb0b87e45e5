"""The evaluation of a frozen backbone beside baselines, from registry names to numbers.

It writes to its output folder

    NAME.SPLIT.features.npz      pooled features, logits, labels, joints; used again
    NAME.predictions.npz         what heads, k-NN and probes predict
    metrics.json                 scores, computed from those files
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.device import choose_device
from gesture_pretrain.evaluation.features.extract import FeatureTable
from gesture_pretrain.evaluation.features.facts import evaluation_context
from gesture_pretrain.evaluation.features.images import choose_images
from gesture_pretrain.evaluation.features.measures import (
    Predictions,
    probe_predictions,
    score_predictions,
)
from gesture_pretrain.evaluation.features.models import chosen_taxonomy, common_size, open_models
from gesture_pretrain.evaluation.features.result import (
    BackboneResult,
    EvaluationContext,
    FeatureEvaluation,
)
from gesture_pretrain.evaluation.features.tables import (
    feature_tables,
    file_name,
    probed_dataset,
)
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.registry import find_backbone


def evaluate_features(
    name: str | Path,
    *,
    data: str | Path,
    split: str | None = None,
    train_split: str = "train",
    baselines: Sequence[str] = (),
    taxonomy: str | None = None,
    with_heads: bool = True,
    max_train: int | None = 4000,
    max_eval: int | None = None,
    k: int = 20,
    out: str | Path | None = None,
    device: str = "auto",
    workers: int = 2,
    seed: int = 0,
    command: str = "",
) -> FeatureEvaluation:
    """Evaluate the frozen features of a backbone, next to those of baselines.

    Scores the heads, k-NN, and linear probes to gestures and to wrist-relative 3D joints.

    Args:
        name: Name in the registry, or path of an export.
        data: Index, or dataset that contains one.
        split: Split to evaluate. Default: see `choose_images`.
        train_split: Split that the probes are fitted on.
        baselines: Names of other backbones, or "untrained": the same network with random weights.
        taxonomy: Packaged name or CSV; "index_labels" makes each label of the index a class.
            Default: the backbone's own.
        with_heads: Also score the heads. They require their own taxonomy.
        max_train: Number of images the probes are fitted on; None for all.
        max_eval: Number of evaluated images; None for all.
        k: Neighbours of k-NN.
        out: Output folder. Default: `runs/evaluate_<name>`.
        device: "auto", "cpu", "cuda" or "cuda:<index>".
        workers: Loading processes.
        seed: Random seed of the samples and of t-SNE.
        command: Command line to record.

    Raises:
        UnknownBackbone: No weights of that name.
        ValueError: No labelled image in a split, or heads of another taxonomy.
    """
    out = Path(out) if out is not None else Path("runs") / f"evaluate_{Path(name).name}"
    device = str(choose_device(device))
    _check_splits(split, train_split)
    index = HandIndex.open(data)
    record = find_backbone(name).record
    classes = chosen_taxonomy(taxonomy, record, index)
    left_out: list[str] = []
    models = open_models(name, baselines, record, classes, with_heads, left_out)
    images = choose_images(index, classes, train_split=train_split, split=split)
    print(images.note)
    out.mkdir(parents=True, exist_ok=True)
    size_px = common_size(models)
    train = probed_dataset(index, images.train, classes, size_px, limit=max_train, seed=seed)
    evaluated = probed_dataset(index, images.evaluated, classes, size_px, limit=max_eval, seed=seed)
    sets = {train_split: train, images.split: evaluated}
    results, unscored = _score_all(
        models, sets, index, classes, k=k, out=out, device=device, workers=workers
    )
    context = evaluation_context(
        index=index,
        sets=sets,
        images=images,
        train_split=train_split,
        taxonomy=classes,
        k=k,
        seed=seed,
        main=results[0],
        left_out=left_out + unscored,
        command=command,
        record=record,
    )
    _write_metrics(out / "metrics.json", results, context)
    return FeatureEvaluation(out, results, context, evaluated)


def _score_all(
    models: Mapping[str, nn.Module],
    sets: Mapping[str, GestureDataset],
    index: HandIndex,
    classes: Taxonomy,
    *,
    k: int,
    out: Path,
    device: str,
    workers: int,
) -> tuple[list[BackboneResult], list[str]]:
    """Score every model on the second set, with probes that are fitted on the first.

    Returns:
        The results, and sentences on what has no score.
    """
    tables = {
        part: feature_tables(models, images, index, out, part, device=device, workers=workers)
        for part, images in sets.items()
    }
    train, evaluated = tables.values()
    results = [_result(model, train[model], evaluated[model], classes, k, out) for model in models]
    return results, _not_scored(results[0], classes, tables)


def _result(
    model: str,
    train: FeatureTable,
    evaluated: FeatureTable,
    classes: Taxonomy,
    k: int,
    out: Path,
) -> BackboneResult:
    """Write the predictions from a model's features to a file, and score that file."""
    num_classes = {"coarse": classes.num_coarse, "fine": classes.num_fine}
    path = probe_predictions(train, evaluated, num_classes=num_classes, k=k).save(
        out / f"{file_name(model)}.predictions.npz"
    )
    # scores are made from the file, so that they can be made again from it
    predictions = Predictions.load(path)
    scores = score_predictions(predictions, evaluated, num_classes=num_classes)
    return BackboneResult(model, evaluated, predictions, scores)


def _not_scored(
    main: BackboneResult, taxonomy: Taxonomy, tables: Mapping[str, Mapping[str, FeatureTable]]
) -> list[str]:
    """List what has no scores with this data and this taxonomy, one sentence each."""
    found = []
    if not all(table.has_joints for part in tables.values() for table in part.values()):
        found.append("The probe to 3D joints: this data has no joint annotations.")
    if taxonomy.num_coarse == 1:
        found.append(f"Coarse gestures: taxonomy '{taxonomy.name}' has one class only.")
    elif "probe_coarse" not in main.scores:
        found.append(f"Gestures: the images have no label of taxonomy '{taxonomy.name}'.")
    elif not any(key.endswith("_fine") for key in main.scores):
        found.append("The fine level: it repeats the coarse one.")
    return found


def _write_metrics(path: Path, results: list[BackboneResult], context: EvaluationContext) -> None:
    content = {
        "data": context.data_title,
        "synthetic": context.synthetic,
        "protocol": list(context.protocol),
        "left_out": list(context.left_out),
        "facts": dict(context.facts),
        "backbones": {r.name: {"scores": r.scores, "fits": r.predictions.fits} for r in results},
    }
    write_bytes_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def _check_splits(split: str | None, train_split: str) -> None:
    if split == train_split:
        raise ValueError(
            f"Split '{split}' would be both fitted and scored. Choose another split for one of "
            "the two."
        )
