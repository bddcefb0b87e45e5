"""The evaluation of a frozen backbone beside baselines, from registry names to one page.

It writes to its output folder

    NAME.SPLIT.features.npz      pooled features, logits, labels, joints; used again
    NAME.predictions.npz         what heads, k-NN and probes predict
    metrics.json                 scores, made from those files
    report.html                  one self-contained page
"""

import json
import time
from pathlib import Path

import torch

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.features.extract import FeatureTable
from gesture_pretrain.evaluation.features.facts import report_context
from gesture_pretrain.evaluation.features.images import choose_images
from gesture_pretrain.evaluation.features.measures import (
    Predictions,
    probe_predictions,
    score_predictions,
)
from gesture_pretrain.evaluation.features.models import chosen_taxonomy, common_size, open_models
from gesture_pretrain.evaluation.features.tables import (
    feature_tables,
    file_name,
    probed_dataset,
)
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.report.backbone_numbers import number_rows, summary_sentences
from gesture_pretrain.report.backbone_report import write_backbone_report
from gesture_pretrain.report.backbone_result import BackboneResult, ReportContext
from gesture_pretrain.report.html import Section
from gesture_pretrain.report.training_curves import read_training_curves
from gesture_pretrain.weights.registry import find_backbone


def evaluate_backbone(
    *,
    name: str,
    data: Path,
    split: str | None = None,
    train_split: str = "train",
    baselines: list[str] | tuple[str, ...] = (),
    taxonomy: str | None = None,
    with_heads: bool = True,
    max_train: int | None = 4000,
    max_eval: int | None = None,
    k: int = 20,
    out: Path | None = None,
    run: Path | None = None,
    device: str = "cpu",
    workers: int = 2,
    seed: int = 0,
    command: str = "",
) -> Path:
    """Run the whole evaluation; returns the path of the report.

    The images and the default of `split` are chosen by `choose_images`.

    Raises:
        ValueError: The backbone is unknown, there is nothing to measure, or the heads are of
            another taxonomy.
    """
    start = time.monotonic()
    out = Path(out) if out is not None else Path("runs") / f"evaluate_{Path(name).name}"
    _check_device(device)
    _check_splits(split, train_split)
    index = HandIndex.open(data)
    curves = read_training_curves(run) if run is not None else {}
    record = find_backbone(name).record
    classes = chosen_taxonomy(taxonomy, record, index)
    left_out: list[str] = []
    models = open_models(name, baselines, record, classes, with_heads, left_out)
    size_px = common_size(models)
    images = choose_images(index, classes, train_split=train_split, split=split)
    print(images.note)
    split = images.split
    out.mkdir(parents=True, exist_ok=True)
    parts = {train_split: (images.train, max_train), split: (images.evaluated, max_eval)}
    sets = {
        part: probed_dataset(index, rows, classes, size_px, limit=limit, seed=seed)
        for part, (rows, limit) in parts.items()
    }
    tables = {
        part: feature_tables(models, sets[part], index, out, part, device=device, workers=workers)
        for part in sets
    }
    num_classes = {"coarse": classes.num_coarse, "fine": classes.num_fine}
    results = [
        _result(model, tables[train_split][model], tables[split][model], num_classes, k, out)
        for model in models
    ]
    has_joints = all(tables[part][name].has_joints for part in tables)
    left_out += _not_scored(results[0], classes.name, has_joints=has_joints)
    if run is not None and not curves:
        left_out.append(f"Training curves: {run} has logged nothing yet.")
    context = report_context(
        index=index,
        sets=sets,
        split=split,
        train_split=train_split,
        taxonomy=classes,
        k=k,
        seed=seed,
        main=results[0],
        note=images.note,
        left_out=left_out,
        curves=curves,
        command=command,
        record=record,
    )
    _write_metrics(out / "metrics.json", results, context)
    report = write_backbone_report(out / "report.html", results, context)
    print_table(results, context)
    print(
        f"Report: {report}    Numbers: {out / 'metrics.json'}    ({time.monotonic() - start:.0f} s)"
    )
    return report


def _result(
    model: str,
    train: FeatureTable,
    evaluated: FeatureTable,
    num_classes: dict[str, int],
    k: int,
    out: Path,
) -> BackboneResult:
    """What a model's features predict, written to its file, and the scores of that file."""
    path = probe_predictions(train, evaluated, num_classes=num_classes, k=k).save(
        out / f"{file_name(model)}.predictions.npz"
    )
    # scores are made from the file, so that they can be made again from it
    predictions = Predictions.load(path)
    scores = score_predictions(predictions, evaluated, num_classes=num_classes)
    return BackboneResult(model, evaluated, predictions, scores)


def _not_scored(main: BackboneResult, taxonomy: str, *, has_joints: bool) -> list[str]:
    """Sentences about what this data and this taxonomy have no scores of."""
    found = []
    if not has_joints:
        found.append("The probe to 3D joints: this data has no joint annotations.")
    if "probe_coarse" not in main.scores:
        found.append(f"Gestures: the images have no label of taxonomy '{taxonomy}'.")
    elif not any(key.endswith("_fine") for key in main.scores):
        found.append("The fine level: it repeats the coarse one.")
    return found


def print_table(results: list[BackboneResult], context: ReportContext) -> None:
    """The numbers, aligned, and what they come to."""
    header, rows = number_rows(results)
    cells = [row for row in rows if not isinstance(row, Section)]
    widths = [max(len(line[i]) for line in [header, *cells]) for i in range(len(header))]
    print(
        "\n"
        + "  ".join(
            text.rjust(width) if i else text.ljust(width)
            for i, (text, width) in enumerate(zip(header, widths, strict=True))
        )
    )
    for row in rows:
        if isinstance(row, Section):
            print(row.title)
            continue
        print(
            "  ".join(
                text.rjust(width) if i else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
        )
    print()
    for sentence in summary_sentences(results, context):
        print(sentence)
    for sentence in context.left_out:
        print(f"Left out: {sentence}")


def _write_metrics(path: Path, results: list[BackboneResult], context: ReportContext) -> None:
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
            f"Split '{split}' would be both fitted and scored. Choose another --split or "
            "--train-split."
        )


def _check_device(device: str) -> None:
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device {device}: there is no usable CUDA device. Use --device cpu.")
