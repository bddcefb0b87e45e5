"""Scores of frozen backbones side by side, as a table and as sentences."""

from collections.abc import Sequence

import pandas as pd

from gesture_pretrain.evaluation.features.measures import LEVELS
from gesture_pretrain.evaluation.features.result import BackboneResult, EvaluationContext
from gesture_pretrain.tables import text_table

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


def summary_sentences(results: Sequence[BackboneResult], context: EvaluationContext) -> list[str]:
    """Summarise the most important scores in sentences."""
    main, *baselines = results
    kind = (
        "SYNTHETIC, rendered images; nothing here is a statement about photographs"
        if context.synthetic
        else context.images
    )
    sentences = [f"Data: {context.data_title}: {kind}. {len(main.table):,} images evaluated."]
    best = next((m for m in ("heads_coarse", "probe_coarse") if m in main.scores), None)
    if best:
        score = main.scores[best]
        how = "its own heads" if best == "heads_coarse" else "a linear probe"
        sentences.append(
            f"Coarse gesture, top-1 by {how}: {percent(score['top1'])} of {score['num_classes']} "
            f"classes (a uniform guess: {percent(score['chance'])})."
        )
    for baseline in baselines:
        sentences += _against(main, baseline)
    return sentences


def text_report(results: Sequence[BackboneResult], context: EvaluationContext) -> str:
    """Format the numbers as aligned tables, followed by the summary."""
    blocks = [
        f"{title}\n{text_table(list(frame.columns), frame.to_numpy())}"
        for title, frame in score_frames(results).items()
    ]
    left_out = (f"Left out: {sentence}" for sentence in context.left_out)
    return "\n\n".join([*blocks, "\n".join([*summary_sentences(results, context), *left_out])])


def score_frames(results: Sequence[BackboneResult]) -> dict[str, pd.DataFrame]:
    """Title to table of the scores, a column per backbone; tables without scores are left out."""
    frames = dict(_gesture_frame(results, level) for level in LEVELS)
    frames["Wrist-relative 3D joints: MPJPE in mm, lower is better"] = pd.DataFrame(
        joint_rows(results), columns=["", *(result.name for result in results)]
    )
    return {title: frame for title, frame in frames.items() if len(frame)}


def _gesture_frame(results: Sequence[BackboneResult], level: str) -> tuple[str, pd.DataFrame]:
    columns = ["", *(result.name for result in results), "uniform guess", "largest class"]
    rows: list[list[str]] = []
    title = level
    for method, words in GESTURE_METHODS:
        key = f"{method}_{level}"
        first = next((result.scores[key] for result in results if key in result.scores), None)
        if first is None:
            continue
        title = (
            f"{level.capitalize()} gesture, {first['num_present']} of {first['num_classes']} "
            f"classes present, {first['num_samples']:,} images"
        )
        for score, name in GESTURE_SCORES:
            cells = [percent(r.scores[key][score]) if key in r.scores else "–" for r in results]
            guesses = (
                [percent(first["chance"]), percent(first["majority"])]
                if score == "top1"
                else ["", ""]
            )
            rows.append([f"{words}, {name}", *cells, *guesses])
    return title, pd.DataFrame(rows, columns=columns)


def joint_rows(results: Sequence[BackboneResult]) -> list[list[str]]:
    """Build the MPJPE rows of the methods that all results have."""
    return [
        [words, *(f"{r.scores[key]['mpjpe_mm']:.2f}" for r in results)]
        for key, words in JOINT_METHODS
        if all(key in r.scores for r in results)
    ]


def _against(main: BackboneResult, baseline: BackboneResult) -> list[str]:
    sentences = []
    if "knn_coarse" in main.scores and "knn_coarse" in baseline.scores:
        sentences.append(
            f"k-NN on frozen features, coarse top-1: {percent(main.scores['knn_coarse']['top1'])} "
            f"against {percent(baseline.scores['knn_coarse']['top1'])} of {baseline.name}."
        )
    if "probe_joints" in main.scores and "probe_joints" in baseline.scores:
        ours = main.scores["probe_joints"]["mpjpe_mm"]
        theirs = baseline.scores["probe_joints"]["mpjpe_mm"]
        mean = main.scores["mean_pose"]["mpjpe_mm"]
        word = "lower" if ours < theirs else "HIGHER" if ours > theirs else "apart"
        sentences.append(
            f"Linear probe to 3D joints, not part of pretraining: MPJPE {ours:.2f} mm against "
            f"{theirs:.2f} mm of {baseline.name}, {percent(abs(1 - ours / theirs))} {word} "
            f"(the mean pose alone: {mean:.2f} mm)."
        )
    return sentences


def percent(fraction: float) -> str:
    """Format a fraction in percent."""
    return f"{100 * fraction:.1f} %"
