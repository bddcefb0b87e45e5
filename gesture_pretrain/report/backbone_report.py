"""The report of `tools/evaluate.py backbone`: what frozen features are worth, on one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gesture_pretrain.backbone_evaluation import LEVELS, Predictions
from gesture_pretrain.classification import confusion_matrix
from gesture_pretrain.diagnostics.joint_error import joint_errors_mm
from gesture_pretrain.embedding import choose_points, tsne_2d
from gesture_pretrain.features import FeatureTable
from gesture_pretrain.report import figures, html
from gesture_pretrain.report.contact_sheet import Tile, contact_sheet
from gesture_pretrain.skeleton import JOINT_NAMES_MANO21

GESTURE_METHODS = (("heads", "its own heads"), ("knn", "k-NN"), ("probe", "linear probe"))
GESTURE_SCORES = (
    ("top1", "top-1"),
    ("balanced_accuracy", "balanced accuracy"),
    ("macro_f1", "macro-F1"),
)
JOINT_METHODS = (
    ("probe_joints", "linear probe (ridge)"),
    ("knn_joints", "k-NN"),
    ("mean_pose", "mean training pose, no features"),
)


@dataclass(frozen=True)
class BackboneResult:
    """One evaluated backbone: what it gave for the evaluated samples and how that scored."""

    name: str
    table: FeatureTable
    predictions: Predictions
    scores: dict


@dataclass(frozen=True)
class ReportContext:
    """What the numbers were measured on and how; all plain text but the tiles and curves.

    Attributes:
        data_title: the data in a few words, used in the title of every figure; says "synthetic"
            where the data are.
        synthetic: whether the data are rendered.
        circular: whether the backbone was trained with the labels it is compared to here.
        class_names: {"coarse": names, "fine": names}.
        protocol: sentences on how the numbers were made.
        left_out: what was not measured and why.
        facts: name -> text: data, taxonomy, versions, commit.
        commands: what to type to get this page again.
        tiles: contact sheet.
        curves: see `figures.curve_picture`; empty without a training run.
        trained_on: the data of the pretraining run, which may be others than those evaluated.
        tsne_points: how many samples t-SNE pictures show.
    """

    data_title: str
    synthetic: bool
    circular: bool
    class_names: dict[str, Sequence[str]]
    protocol: Sequence[str]
    left_out: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()
    tiles: Sequence[Tile] = ()
    curves: Mapping = field(default_factory=dict)
    trained_on: str = "data not recorded"
    tsne_points: int = 1000
    seed: int = 0


def write_backbone_report(
    path: Path | str, results: Sequence[BackboneResult], context: ReportContext
) -> Path:
    """Writes the page; the first result is the backbone, the others are its baselines."""
    blocks = [html.summary(summary_sentences(results, context))]
    if context.left_out:
        blocks.append(html.notice("Left out: " + " ".join(context.left_out)))
    blocks += _numbers(results, context)
    blocks += _samples(context)
    blocks += _curves(context)
    blocks += _joint_errors(results, context)
    blocks += _confusions(results[0], context)
    blocks += _embeddings(results, context)
    blocks += _protocol(results, context)
    kind = "synthetic images" if context.synthetic else "photographs"
    document = html.page(
        f"Frozen features of {results[0].name}",
        f"Evaluated on {context.data_title} ({kind}).",
        blocks,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document, encoding="utf-8")
    return path


def summary_sentences(results: Sequence[BackboneResult], context: ReportContext) -> list[str]:
    """What a reader should know after ten seconds."""
    main, *baselines = results
    kind = (
        "SYNTHETIC, rendered images; nothing here is a statement about photographs"
        if context.synthetic
        else "photographs"
    )
    sentences = [f"Data: {context.data_title}: {kind}. {len(main.table):,} images evaluated."]
    best = next((m for m in ("heads_coarse", "probe_coarse") if m in main.scores), None)
    if best:
        score = main.scores[best]
        how = "its own heads" if best == "heads_coarse" else "a linear probe"
        sentences.append(
            f"Coarse gesture, top-1 by {how}: {_percent(score['top1'])} of {score['num_classes']} "
            f"classes (a uniform guess: {_percent(score['chance'])})."
        )
    for baseline in baselines:
        sentences += _against(main, baseline)
    return sentences


def number_rows(
    results: Sequence[BackboneResult],
) -> tuple[list[str], list[Sequence[str] | html.Section]]:
    """Header and rows of the table of numbers; also printed by the command."""
    header = ["", *(result.name for result in results), "uniform guess", "largest class"]
    rows: list = []
    for level in LEVELS:
        rows += _gesture_rows(results, level)
    joint_rows = _joint_rows(results)
    if joint_rows:
        rows += [
            html.Section("Wrist-relative 3D joints: MPJPE in mm, lower is better"),
            *joint_rows,
        ]
    return header, rows


def _gesture_rows(results, level: str) -> list:
    rows: list = []
    for method, words in GESTURE_METHODS:
        key = f"{method}_{level}"
        having = [result.scores[key] for result in results if key in result.scores]
        if not having:
            continue
        for score, score_words in GESTURE_SCORES:
            cells = [_percent(r.scores[key][score]) if key in r.scores else "–" for r in results]
            guess = [_percent(having[0]["chance"]), _percent(having[0]["majority"])]
            rows.append(
                [f"{words}, {score_words}", *cells, *(guess if score == "top1" else ["", ""])]
            )
    if rows:
        counts = next(r.scores[f"knn_{level}"] for r in results)
        rows.insert(
            0,
            html.Section(
                f"{level.capitalize()} gesture, {counts['num_present']} of {counts['num_classes']} "
                f"classes present, {counts['num_samples']:,} images"
            ),
        )
    return rows


def _joint_rows(results) -> list[list[str]]:
    return [
        [words, *(f"{r.scores[key]['mpjpe_mm']:.2f}" for r in results), "", ""]
        for key, words in JOINT_METHODS
        if all(key in r.scores for r in results)
    ]


def _against(main: BackboneResult, baseline: BackboneResult) -> list[str]:
    sentences = []
    if "knn_coarse" in main.scores and "knn_coarse" in baseline.scores:
        sentences.append(
            f"k-NN on frozen features, coarse top-1: {_percent(main.scores['knn_coarse']['top1'])} "
            f"against {_percent(baseline.scores['knn_coarse']['top1'])} of {baseline.name}."
        )
    if "probe_joints" in main.scores and "probe_joints" in baseline.scores:
        ours = main.scores["probe_joints"]["mpjpe_mm"]
        theirs = baseline.scores["probe_joints"]["mpjpe_mm"]
        mean = main.scores["mean_pose"]["mpjpe_mm"]
        word = "lower" if ours < theirs else "HIGHER" if ours > theirs else "apart"
        sentences.append(
            f"Linear probe to 3D joints, not part of pretraining: MPJPE {ours:.2f} mm against "
            f"{theirs:.2f} mm of {baseline.name}, {_percent(abs(1 - ours / theirs))} {word} "
            f"(the mean pose alone: {mean:.2f} mm)."
        )
    return sentences


def _numbers(results, context) -> list[str]:
    header, rows = number_rows(results)
    return [
        html.heading("Numbers"),
        html.number_table(header, rows, main_column=1),  # the backbone that is evaluated
        html.paragraph(
            f"Data: {context.data_title}. Averages over classes run over the classes present in "
            "the evaluated split. "
            + (
                "MPJPE: root = wrist, the wrist itself is not counted, no scale and no alignment, "
                "camera frame. "
                if _joint_rows(results)
                else ""
            )
            + "One run, no spread: small differences mean nothing."
        ),
    ]


def _samples(context) -> list[str]:
    if not context.tiles:
        return []
    sheet = contact_sheet(context.tiles, title=f"Evaluated samples: {context.data_title}")
    return [
        html.heading("What the network sees"),
        html.picture(
            sheet,
            "Crops as they enter the network, drawn from as many classes as fit, with the "
            "annotated joints. Caption: true class, then (→) the predicted one; frame green "
            "where right, red where wrong.",
        ),
    ]


def _curves(context) -> list[str]:
    if not context.curves:
        return []
    image = figures.curve_picture(
        context.curves, x_label="iteration", title=f"Pretraining run on {context.trained_on}"
    )
    return [
        html.heading("Training"),
        html.picture(image, "Values that the training run logged (metrics.jsonl)."),
    ]


def _joint_errors(results, context) -> list[str]:
    if "probe_joints_mm" not in results[0].predictions.arrays:
        return []
    errors = {
        f"{r.name}, linear probe": _errors(r, "probe_joints_mm")
        for r in results
        if "probe_joints_mm" in r.predictions.arrays
    }
    errors["mean training pose"] = _errors(results[0], "mean_pose_mm")
    image = figures.joint_error_picture(
        errors, JOINT_NAMES_MANO21, title=f"Error per joint, {context.data_title}"
    )
    return [
        html.heading("Joints from frozen features"),
        html.picture(
            image,
            "Mean distance per joint of the linear probe. No joint was seen in pretraining, so "
            "unlike the gesture scores this measure is not circular.",
        ),
    ]


def _errors(result: BackboneResult, key: str) -> np.ndarray:
    table = result.table
    return joint_errors_mm(result.predictions.arrays[key], table.joints_rel_mm, table.joint_valid)


def _confusions(main: BackboneResult, context) -> list[str]:
    blocks = [html.heading("Confusions")]
    for level in LEVELS:
        method = next((m for m in ("heads", "probe") if f"{m}_{level}" in main.scores), None)
        if method is None:
            continue
        words = dict(GESTURE_METHODS)[method]
        names = list(context.class_names[level])
        counts = confusion_matrix(
            getattr(main.table, level), main.predictions.arrays[f"{method}_{level}"], len(names)
        )
        image = figures.confusion_picture(
            counts, names, f"{level.capitalize()} gesture by {words}, {context.data_title}"
        )
        blocks.append(
            html.picture(
                image,
                f"{level.capitalize()} gesture, {main.name} by {words}; "
                "each row is divided by its sum.",
            )
        )
        blocks += _frequent_mistakes(counts, names)
    return blocks


def _frequent_mistakes(counts: np.ndarray, names: list[str], limit: int = 8) -> list[str]:
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [(int(p) // len(names), int(p) % len(names)) for p in order if wrong.flat[p]]
    rows = [[names[t], names[p], f"{wrong[t, p]} of {counts[t].sum()}"] for t, p in pairs]
    return (
        [html.text_table(["most frequent mistakes: true class", "predicted", "images"], rows)]
        if rows
        else []
    )


def _embeddings(results, context) -> list[str]:
    chosen = choose_points(len(results[0].table), max_points=context.tsne_points, seed=context.seed)
    if len(chosen) < 4:
        return []
    blocks = [html.heading("t-SNE"), _pooled_embedding(results, context, chosen)]
    if results[0].table.coarse_logits is not None:
        blocks.append(_logit_embedding(results[0], context, chosen))
    return blocks


def _pooled_embedding(results, context, chosen) -> str:
    panels = {
        r.name: (tsne_2d(r.table.features[chosen], seed=context.seed), r.table.coarse[chosen])
        for r in results
    }
    left = {r.name: r.table.hand[chosen] == 1 for r in results}
    image = figures.embedding_picture(
        panels,
        title=f"Pooled features by coarse class, {context.data_title}",
        num_classes=len(context.class_names["coarse"]),
        left_hand=left,
    )
    return html.picture(
        image,
        f"Pooled features of {len(chosen):,} evaluated images, coloured by coarse class (as "
        "Fig. 4 of the paper: with and without pretraining). "
        + (
            "Coloured by the very labels that were trained, this picture is circular; "
            "errors of a probe to joints are not. "
            if context.circular
            else ""
        )
        + "Distances between clusters mean nothing.",
    )


def _logit_embedding(main: BackboneResult, context, chosen) -> str:
    panels, left, classes = {}, {}, {}
    for level in LEVELS:
        title = f"{level} logits"
        logits = getattr(main.table, f"{level}_logits")[chosen]
        panels[title] = (tsne_2d(logits, seed=context.seed), getattr(main.table, level)[chosen])
        left[title] = main.table.hand[chosen] == 1
        classes[title] = len(context.class_names[level])
    image = figures.embedding_picture(
        panels,
        num_classes=classes,
        left_hand=left,
        title=f"Logits of {main.name}, {context.data_title}",
    )
    return html.picture(
        image,
        "Coarse logits by coarse class and fine logits by fine class (as "
        "Fig. 5 of the paper). Circular in the same way.",
    )


def _protocol(results, context) -> list[str]:
    blocks = [html.heading("How this was measured"), html.bullets(context.protocol)]
    fits = [
        [
            r.name,
            name,
            f"{fit['penalty']:g}" + (" (end of the list)" if fit["at_the_edge"] else ""),
            f"{fit['num_train']:,}",
            fit["held_out_by"],
        ]
        for r in results
        for name, fit in r.predictions.fits.items()
    ]
    blocks.append(
        html.text_table(
            ["backbone", "probe", "chosen penalty", "train images", "held out by"], fits
        )
    )
    if context.facts:
        blocks.append(html.text_table(["", ""], list(context.facts.items())))
    if context.commands:
        blocks += [
            html.paragraph("To get this page again:"),
            html.code("\n".join(context.commands)),
        ]
    return blocks


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
