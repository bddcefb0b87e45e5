"""HTML report of frozen features: scores, samples, confusions and embeddings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gesture_pretrain.evaluation.features.classification import confusion_matrix
from gesture_pretrain.evaluation.features.embedding import choose_points, tsne_2d
from gesture_pretrain.evaluation.features.joint_error import joint_errors_mm
from gesture_pretrain.evaluation.features.measures import LEVELS
from gesture_pretrain.evaluation.features.result import (
    BackboneResult,
    EvaluationContext,
    FeatureEvaluation,
)
from gesture_pretrain.report import figures
from gesture_pretrain.report.backbone_numbers import (
    GESTURE_METHODS,
    joint_rows,
    score_frames,
    summary_sentences,
)
from gesture_pretrain.report.contact_sheet import Tile, contact_sheet, spread_over_classes
from gesture_pretrain.report.page import Block, Code, Figure, Page, Table, facts_table
from gesture_pretrain.skeleton import JOINT_NAMES_MANO21

_MISTAKES_SHOWN = 8


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
    page = Page(
        f"Frozen features of {results[0].name}",
        f"Evaluated on {context.data_title} ({context.images}).",
        summary=summary_sentences(results, context),
        notices=["Left out: " + " ".join(context.left_out)] if context.left_out else [],
        sections={
            "Numbers": _numbers(results, context),
            "What the network sees": _samples(evaluation),
            "Training": _curves(curves, context),
            "Joints from frozen features": _joint_errors(results, context),
            "Confusions": _confusions(results[0], context),
            "t-SNE": _embeddings(results, context),
            "How this was measured": _protocol(results, context),
        },
    )
    return page.write(path)


def _numbers(results, context) -> list[Block]:
    blocks: list[Block] = []
    for title, frame in score_frames(results).items():
        blocks += [f"{title}:", Table(frame, main=results[0].name)]
    joints = (
        "MPJPE: root = wrist, the wrist itself is not counted, no scale and no alignment, camera "
        "frame. "
        if joint_rows(results)
        else ""
    )
    return [
        *blocks,
        f"Data: {context.data_title}. Averages over classes run over the classes present in the "
        f"evaluated split. {joints}One run, no spread: small differences mean nothing.",
    ]


def _samples(evaluation: FeatureEvaluation) -> list[Block]:
    title = f"Evaluated samples: {evaluation.context.data_title}"
    caption = (
        "Input crops from as many classes as fit, with the annotated joints. Caption: true class, "
        "then (→) the predicted one. The frame is green if the prediction is correct, red if it is "
        "wrong."
    )
    return [Figure(contact_sheet(_tiles(evaluation), title=title), caption)]


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


def _curves(curves: Mapping | None, context: EvaluationContext) -> list[Block]:
    if not curves:
        return []
    title = f"Pretraining run on {context.trained_on}"
    image = figures.curve_figure(curves, x_label="iteration", title=title)
    return [Figure(image, "Values that the training run logged (metrics.jsonl).")]


def _joint_errors(results, context) -> list[Block]:
    if "probe_joints_mm" not in results[0].predictions.arrays:
        return []
    errors = {
        f"{r.name}, linear probe": _errors(r, "probe_joints_mm")
        for r in results
        if "probe_joints_mm" in r.predictions.arrays
    }
    errors["mean training pose"] = _errors(results[0], "mean_pose_mm")
    title = f"Error per joint, {context.data_title}"
    caption = (
        "Mean distance per joint of the linear probe. Pretraining used no joints, so unlike the "
        "gesture scores this measure is not circular."
    )
    return [Figure(figures.joint_error_figure(errors, JOINT_NAMES_MANO21, title=title), caption)]


def _errors(result: BackboneResult, key: str) -> np.ndarray:
    table = result.table
    return joint_errors_mm(result.predictions.arrays[key], table.joints_rel_mm, table.joint_valid)


def _confusions(main: BackboneResult, context) -> list[Block]:
    blocks: list[Block] = []
    for level in LEVELS:
        method = next((m for m in ("heads", "probe") if f"{m}_{level}" in main.scores), None)
        if method is None:
            continue
        words = dict(GESTURE_METHODS)[method]
        names = list(context.class_names[level])
        counts = confusion_matrix(
            getattr(main.table, level), main.predictions.arrays[f"{method}_{level}"], len(names)
        )
        title = f"{level.capitalize()} gesture by {words}, {context.data_title}"
        caption = (
            f"{level.capitalize()} gesture, {main.name} by {words}; each row is divided by its sum."
        )
        blocks.append(Figure(figures.confusion_figure(counts, names, title), caption))
        blocks += _frequent_mistakes(counts, names)
    return blocks


def _frequent_mistakes(counts: np.ndarray, names: list[str]) -> list[Block]:
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MISTAKES_SHOWN]
    pairs = [(int(p) // len(names), int(p) % len(names)) for p in order if wrong.flat[p]]
    rows = [(names[t], names[p], f"{wrong[t, p]} of {counts[t].sum()}") for t, p in pairs]
    frame = pd.DataFrame(rows, columns=["true class", "predicted", "images"])
    return ["Most frequent mistakes:", Table(frame, is_text=True)] if rows else []


def _embeddings(results, context) -> list[Block]:
    chosen = choose_points(len(results[0].table), seed=context.seed)
    if len(chosen) < 4 or "probe_coarse" not in results[0].scores:
        return []
    blocks: list[Block] = [_pooled_embedding(results, context, chosen)]
    if results[0].table.coarse_logits is not None:
        blocks.append(_logit_embedding(results[0], context, chosen))
    return blocks


def _pooled_embedding(results, context, chosen) -> Figure:
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
    return Figure(
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


def _logit_embedding(main: BackboneResult, context, chosen) -> Figure:
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
    return Figure(
        image,
        "Coarse logits by coarse class and fine logits by fine class (as "
        "Fig. 5 of the paper). Circular in the same way.",
    )


def _protocol(results, context) -> list[Block]:
    fits = [
        (
            r.name,
            name,
            f"{fit['penalty']:g}" + (" (end of the list)" if fit["at_the_edge"] else ""),
            f"{fit['num_train']:,}",
            fit["held_out_by"],
        )
        for r in results
        for name, fit in r.predictions.fits.items()
    ]
    columns = ["backbone", "probe", "chosen penalty", "train images", "held out by"]
    blocks: list[Block] = [
        list(context.protocol),
        Table(pd.DataFrame(fits, columns=columns), is_text=True),
    ]
    if context.facts:
        blocks.append(facts_table(context.facts))
    if context.commands:
        blocks += ["To reproduce this page:", Code("\n".join(context.commands))]
    return blocks
