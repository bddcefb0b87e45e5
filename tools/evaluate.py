"""Evaluates what was trained.

    python tools/evaluate.py backbone NAME --data INDEX --baseline untrained --out FOLDER

puts the frozen features of a backbone beside those of baselines: gesture scores, k-NN and linear
probes to gesture and to wrist-relative 3D joints, pictures. It writes to FOLDER

    NAME.SPLIT.features.npz      pooled features, logits, labels, joints; used again
    NAME.predictions.npz         what heads, k-NN and probes predict
    metrics.json                 scores, made from those files
    report.html                  one self-contained page
"""

import argparse
import hashlib
import json
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

import gesture_pretrain
from gesture_pretrain.atomic_write import write_bytes_atomically
from gesture_pretrain.backbone_evaluation import Predictions, probe_predictions, score_predictions
from gesture_pretrain.data.dataset import GestureDataset
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.features import FeatureTable, extract_features
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.registry import find_backbone, load_backbone
from gesture_pretrain.report.backbone_report import (
    BackboneResult,
    ReportContext,
    number_rows,
    summary_sentences,
    write_backbone_report,
)
from gesture_pretrain.report.contact_sheet import Tile, spread_over_classes
from gesture_pretrain.report.html import Section
from gesture_pretrain.report.training_curves import read_training_curves
from gesture_pretrain.taxonomy import CONTROLS, Taxonomy
from gesture_pretrain.taxonomy_file import packaged_taxonomies
from gesture_pretrain.weight_record import WeightRecord

UNTRAINED = "untrained"
INDEX_LABELS = "index_labels"


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and runs a subcommand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    _add_backbone_arguments(commands.add_parser("backbone", help="what frozen features are worth"))
    arguments = vars(parser.parse_args(argv))
    arguments.pop("command")
    typed = sys.argv[1:] if argv is None else argv
    try:
        evaluate_backbone(**arguments, command="python tools/evaluate.py " + shlex.join(typed))
    except (ValueError, OSError, LookupError) as error:
        raise SystemExit(f"error: {error}") from error


def _add_backbone_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name in the registry (arch.tag) or path of an export")
    parser.add_argument("--data", type=Path, required=True, help="folder of an index")
    parser.add_argument("--split", default="val", help="what is evaluated (default: val)")
    parser.add_argument("--train-split", default="train", help="what probes are fitted on")
    parser.add_argument(
        "--baseline",
        dest="baselines",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"other backbones, or '{UNTRAINED}': the same network, random weights",
    )
    parser.add_argument(
        "--taxonomy",
        help="packaged name or CSV; 'index_labels' makes each label "
        "of the index a class (default: the backbone's own)",
    )
    parser.add_argument(
        "--no-heads",
        dest="with_heads",
        action="store_false",
        help="features only; needed where the taxonomy is not the heads' own",
    )
    parser.add_argument(
        "--max-train",
        type=int,
        default=4000,
        help="images the probes are fitted on (default: 4000)",
    )
    parser.add_argument("--max-eval", type=int, help="evaluated images (default: all)")
    parser.add_argument("--k", type=int, default=20, help="neighbours (default: 20)")
    parser.add_argument("--out", type=Path, help="default: runs/evaluate_NAME")
    parser.add_argument("--run", type=Path, help="run folder of the pretraining, for its curves")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2, help="loading processes")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn samples and of t-SNE")


def evaluate_backbone(
    *,
    name: str,
    data: Path,
    split: str = "val",
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
    """Runs the whole evaluation; returns the path of the report.

    Raises:
        ValueError: unknown backbone, no labelled image in a split, or heads of another taxonomy.
    """
    start = time.monotonic()
    out = Path(out) if out is not None else Path("runs") / f"evaluate_{Path(name).name}"
    out.mkdir(parents=True, exist_ok=True)
    _check_device(device)
    if split == train_split:
        raise ValueError(
            f"Split '{split}' would be both fitted and scored. Choose another --split or "
            "--train-split."
        )
    index = HandIndex.open(data)
    curves = read_training_curves(run) if run is not None else {}
    record = find_backbone(name).record
    classes = chosen_taxonomy(taxonomy, record, index)
    left_out: list[str] = []
    models = open_models(name, baselines, record, classes, with_heads, left_out)
    size_px = _common_size(models)
    sets = {
        part: labelled_dataset(index, part, classes, size_px, limit=limit, seed=seed)
        for part, limit in ((train_split, max_train), (split, max_eval))
    }
    tables = {
        part: feature_tables(models, sets[part], index, out, part, device=device, workers=workers)
        for part in sets
    }
    num_classes = {"coarse": classes.num_coarse, "fine": classes.num_fine}
    results = []
    for model in models:
        train, evaluated = tables[train_split][model], tables[split][model]
        path = probe_predictions(train, evaluated, num_classes=num_classes, k=k).save(
            out / f"{_file_name(model)}.predictions.npz"
        )
        # scores are made from the file, so that they can be made again from it
        predictions = Predictions.load(path)
        results.append(
            BackboneResult(
                model,
                evaluated,
                predictions,
                score_predictions(predictions, evaluated, num_classes=num_classes),
            )
        )
    if not (tables[split][name].has_joints and tables[train_split][name].has_joints):
        left_out.append("The probe to 3D joints: this data has no joint annotations.")
    if not any(key.endswith("_fine") for key in results[0].scores):
        left_out.append("The fine level: it repeats the coarse one.")
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


def chosen_taxonomy(asked: str | None, record: WeightRecord, index: HandIndex) -> Taxonomy:
    """The taxonomy asked for, else the one of the backbone's heads.

    Of a backbone trained on shuffled labels it is the taxonomy before shuffling: features are
    compared to the true labels.

    Raises:
        ValueError: the card names no taxonomy, or one that is not at hand.
    """
    if asked == INDEX_LABELS:
        return Taxonomy.from_index_labels(index.labels)
    if asked is not None:
        return Taxonomy.load(asked)
    if record.taxonomy is None:
        raise ValueError(
            f"'{record.name}' was exported without a taxonomy. Give one with --taxonomy: "
            f"{', '.join(packaged_taxonomies())}, a CSV file, or {INDEX_LABELS}."
        )
    variant = record.label_variant
    base = _base_taxonomy(record.taxonomy.name.removesuffix(f"-{variant}"), record, index)
    return base.control(variant) if variant in CONTROLS else base


def _base_taxonomy(name: str, record: WeightRecord, index: HandIndex) -> Taxonomy:
    if name in packaged_taxonomies():
        return Taxonomy.load(name)
    source = record.config.get("data", {}).get("taxonomy")
    if source == INDEX_LABELS:
        return Taxonomy.from_index_labels(index.labels)
    if source is None or not Path(source).is_file():
        raise ValueError(
            f"'{record.name}' was trained on taxonomy '{name}', whose CSV file is not at hand "
            f"({source}). Give it with --taxonomy FILE.csv."
        )
    return Taxonomy.load(source)


def heads_fit(record: WeightRecord, taxonomy: Taxonomy) -> bool:
    """Whether the heads tell the classes of `taxonomy` apart (shuffled labels are the same)."""
    if record.taxonomy is None:
        return False
    known = {taxonomy.sha256}
    if record.label_variant.startswith("shuffled"):
        known.add(taxonomy.shuffled(int(record.label_variant.removeprefix("shuffled"))).sha256)
    return record.taxonomy.sha256 in known


def labelled_dataset(
    index: HandIndex, split: str, taxonomy: Taxonomy, size_px: int, *, limit: int | None, seed: int
) -> GestureDataset:
    """The labelled images of a split, or `limit` of them drawn with `seed`, unaugmented."""
    rows = index.select(split=split, labelled_by=taxonomy)
    if len(rows) == 0:
        raise ValueError(
            f"No image of split '{split}' in {index.root} has a label of taxonomy "
            f"'{taxonomy.name}'. The index has labels such as {', '.join(index.labels[:4])}. "
            f"--taxonomy names another one; --taxonomy {INDEX_LABELS} makes each label a class."
        )
    if limit is not None and limit < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(rows, size=limit, replace=False))
    return GestureDataset(index, rows, taxonomy, size_px, announce=None)


def feature_tables(
    models: dict[str, nn.Module],
    dataset: GestureDataset,
    index: HandIndex,
    out: Path,
    split: str,
    *,
    device: str,
    workers: int,
) -> dict[str, FeatureTable]:
    """Features of every model, from disk where they were made from the same things before."""
    origins = {name: _origin(model, dataset, index, split) for name, model in models.items()}
    paths = {name: out / f"{_file_name(name)}.{split}.features.npz" for name in models}
    missing = {
        name: model
        for name, model in models.items()
        if not _is_up_to_date(paths[name], origins[name])
    }
    if skipped := [name for name in models if name not in missing]:
        print(f"Features of split {split} found for {', '.join(skipped)}; skipping extraction.")
    if missing:
        made = extract_features(missing, dataset, index, device=device, workers=workers)
        for name, table in made.items():
            table.meta.update(origins[name])
            table.save(paths[name])
    return {name: FeatureTable.load(path) for name, path in paths.items()}


def _origin(model: nn.Module, dataset: GestureDataset, index: HandIndex, split: str) -> dict:
    """What a feature table depends on; equal values mean that it need not be made again."""
    weights = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        weights.update(key.encode())
        weights.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return {
        "weights_sha256": weights.hexdigest(),
        "columns_sha256": hashlib.sha256(
            json.dumps(index.meta["columns"], sort_keys=True).encode()
        ).hexdigest(),
        "root": str(index.root),
        "split": split,
        "rows_sha256": hashlib.sha256(np.ascontiguousarray(dataset.rows)).hexdigest(),
        "taxonomy_sha256": dataset.taxonomy.sha256,
        "size_px": dataset.size_px,
        "box_ratio": dataset.box_ratio,
        "code": gesture_pretrain.__version__,
    }


def _is_up_to_date(path: Path, origin: dict) -> bool:
    if not path.is_file():
        return False
    meta = FeatureTable.load(path).meta
    return {key: meta.get(key) for key in origin} == origin


def open_models(
    name: str,
    baselines: list[str] | tuple[str, ...],
    record: WeightRecord,
    taxonomy: Taxonomy,
    with_heads: bool,
    left_out: list[str],
) -> dict[str, nn.Module]:
    """The backbone and its baselines by name; heads where they are of the taxonomy.

    Raises:
        ValueError: the backbone's heads are of another taxonomy and `with_heads` is set.
    """
    with_heads = with_heads and record.heads is not None
    if with_heads and not heads_fit(record, taxonomy):
        raise ValueError(
            f"The heads of '{name}' were trained on taxonomy '{record.taxonomy.name}', but "
            f"'{taxonomy.name}' is asked for; their classes mean other things. --no-heads "
            "evaluates the features alone, or leave --taxonomy out."
        )
    models = {name: load_backbone(name, with_heads=with_heads)}
    if not with_heads:
        left_out.append(f"The heads of {name}.")
    backbone = models[name].backbone if with_heads else models[name]
    for baseline in dict.fromkeys(baselines):
        if baseline == UNTRAINED:
            models[baseline] = build_backbone(
                backbone.arch, init="random", size_px=backbone.input_spec.size_px, seed=0
            )
        elif baseline == name:
            raise ValueError(f"'{name}' is given as its own baseline.")
        else:
            fits = with_heads and heads_fit(find_backbone(baseline).record, taxonomy)
            models[baseline] = load_backbone(baseline, with_heads=fits)
            if with_heads and not fits:
                left_out.append(f"The heads of {baseline} (another taxonomy).")
    return models


def report_context(
    *,
    index: HandIndex,
    sets: dict[str, GestureDataset],
    split: str,
    train_split: str,
    taxonomy: Taxonomy,
    k: int,
    seed: int,
    main: BackboneResult,
    left_out: list[str],
    curves: dict,
    command: str,
    record: WeightRecord,
) -> ReportContext:
    """Everything the page says beside the scores."""
    synthetic = is_synthetic(index)
    circular = heads_fit(record, taxonomy)
    data_name = index.meta["data_name"]
    if synthetic and "synthetic" not in data_name:
        data_name = f"synthetic {data_name}"
    title = f"{data_name}, split {split}"
    return ReportContext(
        data_title=title,
        synthetic=synthetic,
        class_names={"coarse": taxonomy.coarse_names, "fine": taxonomy.fine_names},
        protocol=_protocol(sets[train_split], train_split, split, k, main, circular),
        circular=circular,
        left_out=left_out,
        facts=_facts(index, taxonomy, sets, record),
        commands=[command] if command else [],
        tiles=_tiles(sets[split], main, taxonomy, seed),
        curves=curves,
        trained_on=_trained_on(record),
        seed=seed,
    )


def is_synthetic(index: HandIndex) -> bool:
    """Whether the images are rendered: the data set's own note says so."""
    return index.meta["synthetic"] not in (None, False)


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
        f"Linear probe to gesture: multinomial logistic regression on standardised features of "
        f"{len(train):,} images of split {train_split}; the L2 penalty is chosen on held-out "
        "train subjects (on held-out moments where there is one subject).",
        (
            "Circular: gesture scores and t-SNE use the labels that the backbone was trained with. "
            f"They say that it generalises to split {split}, not that its features help pose. The "
            "probe to joints is the measure that pretraining did not see."
        )
        if circular
        else "Not circular: the backbone was not trained with these labels.",
        f"'{UNTRAINED}' is the same architecture with random weights (seed 0), batch norm at its "
        "initial statistics.",
    ]
    if "probe_joints" in main.scores:
        lines.insert(
            3,
            (
                "Joints: camera frame, mm, relative to the wrist; ridge regression in closed form, "
                "float64, penalty chosen like above; left and right hands by one map, as they are. "
                "MPJPE over valid joints without the wrist, which is the root."
            ),
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


def _tiles(dataset: GestureDataset, main: BackboneResult, taxonomy, seed: int) -> list[Tile]:
    method = "heads_coarse" if "heads_coarse" in main.scores else "probe_coarse"
    predicted = main.predictions.arrays[method]
    tiles = []
    for position in spread_over_classes(main.table.coarse, 24, seed=seed):
        sample = dataset[int(position)]
        truth, guess = int(main.table.coarse[position]), int(predicted[position])
        caption = taxonomy.coarse_names[truth]
        if guess != truth:
            caption += f"\n→ {taxonomy.coarse_names[guess]}"
        valid = sample.joint_valid.numpy()
        tiles.append(
            Tile(
                sample.image.permute(1, 2, 0).numpy(),
                caption,
                guess == truth,
                sample.keypoints_px.numpy() if valid.any() else None,
                valid,
            )
        )
    return tiles


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


def _common_size(models: dict[str, nn.Module]) -> int:
    sizes = {name: getattr(m, "backbone", m).input_spec.size_px for name, m in models.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"Backbones side by side must read crops of one size, got {sizes} px. Evaluate them "
            "one at a time."
        )
    return next(iter(sizes.values()))


def _check_device(device: str) -> None:
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device {device}: there is no usable CUDA device. Use --device cpu.")


def _file_name(name: str) -> str:
    """A registry name, or the last part of a path."""
    return Path(name).name


if __name__ == "__main__":
    main()
