"""HTML report of frozen features: scores, samples, confusions and embeddings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gesture_pretrain.evaluation.features.classification import confusion_matrix
from gesture_pretrain.evaluation.features.embedding import choose_points, tsne_2d
from gesture_pretrain.evaluation.features.joint_error import joint_errors_mm
from gesture_pretrain.evaluation.features.measures import LEVELS
from gesture_pretrain.evaluation.features.result import (
    BackboneResult,
    EvaluationContext,
    FeatureEvaluation,
)
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.report import figures, html
from gesture_pretrain.report.backbone_numbers import (
    GESTURE_METHODS,
    joint_rows,
    number_rows,
    summary_sentences,
)
from gesture_pretrain.report.contact_sheet import Tile, contact_sheet, spread_over_classes
from gesture_pretrain.skeleton import JOINT_NAMES_MANO21


def write_backbone_report(
    path: Path | str, evaluation: FeatureEvaluation, *, curves: Mapping | None = None
) -> Path:
    """Write the page of an evaluation.

    Args:
        path: HTML file to write.
        evaluation: Result of `evaluate_features`.
        curves: Curves of the pretraining run, see `read_training_curves`.
    """
    results, context = evaluation.results, evaluation.context
    blocks = [html.summary(summary_sentences(results, context))]
    if context.left_out:
        blocks.append(html.notice("Left out: " + " ".join(context.left_out)))
    blocks += _numbers(results, context)
    blocks += _samples(evaluation)
    blocks += _curves(curves, context)
    blocks += _joint_errors(results, context)
    blocks += _confusions(results[0], context)
    blocks += _embeddings(results, context)
    blocks += _protocol(results, context)
    document = html.page(
        f"Frozen features of {results[0].name}",
        f"Evaluated on {context.data_title} ({context.images}).",
        blocks,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, document.encode())
    return path


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
                if joint_rows(results)
                else ""
            )
            + "One run, no spread: small differences mean nothing."
        ),
    ]


def _samples(evaluation: FeatureEvaluation) -> list[str]:
    title = f"Evaluated samples: {evaluation.context.data_title}"
    sheet = contact_sheet(_tiles(evaluation), title=title)
    return [
        html.heading("What the network sees"),
        html.image(
            sheet,
            "Input crops from as many classes as fit, with the annotated joints. Caption: true "
            "class, then (→) the predicted one. The frame is green if the prediction is correct, "
            "red if it is wrong.",
        ),
    ]


def _tiles(evaluation: FeatureEvaluation) -> list[Tile]:
    main, names = evaluation.results[0], evaluation.context.class_names["coarse"]
    method = next((m for m in ("heads_coarse", "probe_coarse") if m in main.scores), None)
    predicted = None if method is None else main.predictions.arrays[method]
    tiles = []
    for position in spread_over_classes(main.table.coarse, 24, seed=evaluation.context.seed):
        sample = evaluation.images[int(position)]
        guess = None if predicted is None else int(predicted[position])
        caption, correct = _caption(names, int(main.table.coarse[position]), guess)
        valid = sample.joint_valid.numpy()
        keypoints_px = sample.keypoints_px.numpy() if valid.any() else None
        image = sample.image.permute(1, 2, 0).numpy()
        tiles.append(Tile(image, caption, correct, keypoints_px, valid))
    return tiles


def _caption(names: Sequence[str], truth: int, guess: int | None) -> tuple[str, bool | None]:
    """Format the true class, and the predicted one if it differs; return whether they agree."""
    if truth < 0 or guess is None:
        return "", None
    return (names[truth] if guess == truth else f"{names[truth]}\n→ {names[guess]}"), guess == truth


def _curves(curves: Mapping | None, context: EvaluationContext) -> list[str]:
    if not curves:
        return []
    image = figures.curve_figure(
        curves, x_label="iteration", title=f"Pretraining run on {context.trained_on}"
    )
    return [
        html.heading("Training"),
        html.image(image, "Values that the training run logged (metrics.jsonl)."),
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
    image = figures.joint_error_figure(
        errors, JOINT_NAMES_MANO21, title=f"Error per joint, {context.data_title}"
    )
    return [
        html.heading("Joints from frozen features"),
        html.image(
            image,
            "Mean distance per joint of the linear probe. Pretraining used no joints, so unlike "
            "the gesture scores this measure is not circular.",
        ),
    ]


def _errors(result: BackboneResult, key: str) -> np.ndarray:
    table = result.table
    return joint_errors_mm(result.predictions.arrays[key], table.joints_rel_mm, table.joint_valid)


def _confusions(main: BackboneResult, context) -> list[str]:
    blocks = []
    for level in LEVELS:
        method = next((m for m in ("heads", "probe") if f"{m}_{level}" in main.scores), None)
        if method is None:
            continue
        words = dict(GESTURE_METHODS)[method]
        names = list(context.class_names[level])
        counts = confusion_matrix(
            getattr(main.table, level), main.predictions.arrays[f"{method}_{level}"], len(names)
        )
        image = figures.confusion_figure(
            counts, names, f"{level.capitalize()} gesture by {words}, {context.data_title}"
        )
        blocks.append(
            html.image(
                image,
                f"{level.capitalize()} gesture, {main.name} by {words}; "
                "each row is divided by its sum.",
            )
        )
        blocks += _frequent_mistakes(counts, names)
    return [html.heading("Confusions"), *blocks] if blocks else []


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
    if len(chosen) < 4 or "probe_coarse" not in results[0].scores:
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
    image = figures.embedding_figure(
        panels,
        title=f"Pooled features by coarse class, {context.data_title}",
        num_classes=len(context.class_names["coarse"]),
        left_hand=left,
    )
    return html.image(
        image,
        f"Pooled features of {len(chosen):,} evaluated images, coloured by coarse class (as "
        "Fig. 4 of the paper: with and without pretraining). "
        + (
            "This figure is circular, because it is coloured by the training labels; "
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
    image = figures.embedding_figure(
        panels,
        num_classes=classes,
        left_hand=left,
        title=f"Logits of {main.name}, {context.data_title}",
    )
    return html.image(
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
            html.paragraph("To reproduce this page:"),
            html.code("\n".join(context.commands)),
        ]
    return blocks
