"""Scores of frozen backbones side by side, as a table and as sentences."""

from collections.abc import Sequence

from gesture_pretrain.evaluation.features.measures import LEVELS
from gesture_pretrain.evaluation.features.result import BackboneResult, EvaluationContext
from gesture_pretrain.report import html

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


def text_table(results: Sequence[BackboneResult], context: EvaluationContext) -> str:
    """Format the numbers as an aligned table, followed by the summary."""
    header, rows = number_rows(results)
    cells = [row for row in rows if not isinstance(row, html.Section)]
    widths = [max(len(line[i]) for line in [header, *cells]) for i in range(len(header))]
    lines = [_aligned(header, widths)]
    for row in rows:
        lines.append(row.title if isinstance(row, html.Section) else _aligned(row, widths))
    lines += ["", *summary_sentences(results, context)]
    return "\n".join([*lines, *(f"Left out: {sentence}" for sentence in context.left_out)])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
    return "  ".join(cells).rstrip()


def number_rows(
    results: Sequence[BackboneResult],
) -> tuple[list[str], list[Sequence[str] | html.Section]]:
    """Build header and rows of the table of scores."""
    header = ["", *(result.name for result in results), "uniform guess", "largest class"]
    rows: list = []
    for level in LEVELS:
        rows += _gesture_rows(results, level)
    of_joints = joint_rows(results)
    if of_joints:
        rows += [
            html.Section("Wrist-relative 3D joints: MPJPE in mm, lower is better"),
            *of_joints,
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
            cells = [percent(r.scores[key][score]) if key in r.scores else "–" for r in results]
            guess = [percent(having[0]["chance"]), percent(having[0]["majority"])]
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


def joint_rows(results: Sequence[BackboneResult]) -> list[list[str]]:
    """Build the MPJPE rows of the methods that all results have."""
    return [
        [words, *(f"{r.scores[key]['mpjpe_mm']:.2f}" for r in results), "", ""]
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
