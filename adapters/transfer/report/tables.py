"""The tables of a transfer experiment as rows of text: for HTML, Markdown, CSV and LaTeX."""

import csv
import io
import re
from collections.abc import Sequence

import numpy as np

from adapters.transfer.score.results import (
    ComparedPair,
    GroupGain,
    TableRow,
    TransferResults,
    percent,
)
from gesture_pretrain.evaluation.statistics.comparison import PairedDifference

DASH = "–"
_MEAN_POSE = "mean training pose"
_KEPT_WHOLE = re.compile(r"\[[^\]]*\]|[\d.]+ ± [\d.]+")


def transfer_rows(results: TransferResults) -> tuple[list[str], list[list[str]]]:
    """Header and rows in the form of the paper's Table 2, with spread and difference."""
    header, rows = tested_rows(results)
    more, values = other_protocol_rows(results)
    return header + more[1:], [row + own[1:] for row, own in zip(rows, values, strict=True)]


def tested_rows(results: TransferResults) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table under the protocol that is tested."""
    first = results.protocols[0]
    header = ["method", "labels", "images", "moments", "seeds", "hands"]
    header += _columns(results, first)
    header.append("difference to its reference [95 % interval]")
    rows = []
    for row in results.rows:
        cells = [_method(row), percent(row.fraction) if row.fraction else DASH]
        cells += [_number(row.train_images), _number(row.train_moments), _count(row)]
        cells.append(f"{row.hands.get(first, 0):,}")
        cells += _values(results, row, first)
        cells.append(_difference_cell(results, row))
        rows.append(cells)
    if results.mean_pose_mm:
        rows.append([_MEAN_POSE, *[DASH] * 5, *_mean_pose_values(results, first), DASH])
    return header, rows


def transfer_numbers(results: TransferResults) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the same table as numbers, a column for each: for a program to read."""
    header = ["target", "arm", "fraction", "train_images", "train_moments", "seeds"]
    header += ["protocol", "hands", "mpjpe_mm", "mpjpe_sd_mm", "low_mm", "high_mm"]
    header += ["mpvpe_mm", "mpvpe_sd_mm"]
    rows = []
    for row in results.rows:
        facts = [row.target, row.arm, row.fraction, row.train_images, row.train_moments]
        for protocol in results.protocols:
            tested = protocol == results.protocols[0] and row.interval_mm is not None
            numbers = [
                row.hands.get(protocol),
                *_mean_and_sd(row.mpjpe_mm.get(protocol, ())),
                *(row.interval_mm if tested else (None, None)),
                *_mean_and_sd(row.mpvpe_mm.get(protocol, ())),
            ]
            rows.append([_plain(v) for v in (*facts, len(row.seeds), protocol, *numbers)])
    for protocol, error_mm in results.mean_pose_mm.items():
        facts = [_MEAN_POSE, *[""] * 5, protocol, "", _plain(error_mm)]
        rows.append(facts + [""] * (len(header) - len(facts)))
    return header, rows


def comparison_numbers(pairs: Sequence[ComparedPair]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of comparisons as numbers, a column for each; empty where not known."""
    header = [
        "target", "arm", "reference_target", "reference", "fraction", "finding",
        "reference_mm", "arm_mm", "difference_mm", "low_mm", "high_mm",
        "percent", "percent_low", "percent_high", "p", "sign_flip_p", "p_holm", "detectable_mm",
        "seeds", "pretrainings", "clusters", "hands", "subject_low_mm", "subject_high_mm",
        "mpvpe_protocol", "mpvpe_difference_mm", "mpvpe_low_mm", "mpvpe_high_mm",
    ]  # fmt: skip
    rows = []
    for pair in pairs:
        facts = [pair.target, pair.arm, pair.reference_target, pair.reference, pair.fraction]
        d, subjects, meshes = pair.joints, pair.by_subject, pair.meshes
        numbers = [pair.finding]
        numbers += _fields(d, "reference_mm", "mean_mm", "difference_mm", "low_mm", "high_mm")
        numbers += _fields(d, "percent", "percent_low", "percent_high", "p_value", "sign_flip_p")
        numbers += [pair.joints_p_holm]
        numbers += _fields(d, "detectable_mm", "seeds", "pretrainings", "clusters", "samples")
        numbers += _fields(subjects, "low_mm", "high_mm")
        numbers += [pair.meshes_protocol, *_fields(meshes, "difference_mm", "low_mm", "high_mm")]
        rows.append([_plain(value) for value in (*facts, *numbers)])
    return header, rows


def pretraining_rows(results: TransferResults) -> tuple[list[str], list[list[str]]]:
    """Header and rows: how well each pretraining arm learned its own labels."""
    header = [
        "arm", "starts from", "labels", "images", "runs", "train top-1, coarse", "fine",
        "validation top-1, coarse", "fine",
    ]  # fmt: skip
    rows = [
        [
            f"{line.arm}, {line.backbone}",
            line.starts_from,
            line.labels,
            _number(line.images),
            str(line.seeds),
            *(
                DASH if np.isnan(value) else f"{100 * value:.1f} %"
                for value in (*line.train_top1, *line.val_top1)
            ),
        ]
        for line in results.pretraining
    ]
    return header, rows


def other_protocol_rows(results: TransferResults) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the same methods under the other protocols."""
    others = results.protocols[1:]
    header = ["method", *(name for protocol in others for name in _columns(results, protocol))]
    rows = [
        [_method(row), *(value for name in others for value in _values(results, row, name))]
        for row in results.rows
    ]
    if results.mean_pose_mm:
        values = [value for name in others for value in _mean_pose_values(results, name)]
        rows.append([_MEAN_POSE, *values])
    return header, rows


def _mean_pose_values(results: TransferResults, protocol: str) -> list[str]:
    error_mm = results.mean_pose_mm.get(protocol)
    joints = DASH if error_mm is None else f"{error_mm:.2f}"
    return [joints, *[DASH] * (len(_columns(results, protocol)) - 1)]


def comparison_rows(pairs: Sequence[ComparedPair]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of declared comparisons, or of external systems against their reference."""
    header = [
        "comparison", "difference, mm", "95 % interval", "%", "p", "p, sign flip", "p, Holm",
        "finding", "interval over subjects", "MPVPE, mm", "detectable, mm",
        "seeds, clusters, hands",
    ]  # fmt: skip
    rows = []
    for pair in pairs:
        d = pair.joints
        if d is None:
            rows.append([pair.label, *[DASH] * 6, f"not run: {pair.missing}", *[DASH] * 4])
            continue
        rows.append(
            [
                pair.label,
                f"{d.difference_mm:+.2f}",
                interval_text(d),
                f"{d.percent:+.1f} [{d.percent_low:+.1f}, {d.percent_high:+.1f}]",
                p_text(d.p_value),
                p_text(d.sign_flip_p),
                p_text(pair.joints_p_holm),
                pair.finding + (f" ({pair.missing})" if pair.missing else ""),
                interval_text(pair.by_subject),
                DASH
                if pair.meshes is None
                else f"{pair.meshes.difference_mm:+.2f} {interval_text(pair.meshes)}, "
                f"{pair.meshes_protocol}",
                f"{d.detectable_mm:.2f}",
                f"{d.seeds}, {d.clusters}, {d.samples:,}",
            ]
        )
    return header, rows


def seen_rows(results: TransferResults) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each comparison on the gestures that pretraining had and had not.

    None where all or no gestures were in pretraining: it would be the comparisons once more.
    """
    header = [
        "comparison", "gestures", "hands", "clusters", "difference, mm", "95 % interval", "p, Holm",
    ]  # fmt: skip
    rows = [
        [
            pair.label,
            gain.name,
            f"{gain.hands:,}",
            str(gain.clusters),
            f"{gain.difference_mm:+.2f}",
            interval_text(gain),
            p_text(gain.p_holm),
        ]
        for pair in results.pairs
        if len(pair.by_exposure) > 1
        for gain in pair.by_exposure
    ]
    return header, rows


def gain_rows(results: TransferResults) -> tuple[list[str], list[list[str]]]:
    """Header and rows: each comparison by gesture, by joint, and by seen and unseen gestures.

    What is not known, such as the interval of a gesture with too few clusters, is empty.
    """
    header = [
        "comparison", "part", "name", "in pretraining", "hands", "clusters", "difference, mm",
        "low, mm", "high, mm", "p, Holm",
    ]  # fmt: skip
    known = {True: "yes", False: "no", None: ""}
    rows = [
        [
            pair.label,
            part,
            gain.name,
            known[gain.seen],
            str(gain.hands),
            str(gain.clusters),
            f"{gain.difference_mm:.4f}",
            *(
                "" if np.isnan(value) else f"{value:.4f}"
                for value in (gain.low_mm, gain.high_mm, gain.p_holm)
            ),
        ]
        for pair in results.pairs
        for part, gains in (
            ("gesture", pair.by_gesture),
            ("joint", pair.by_joint),
            ("seen and unseen", pair.by_exposure),
        )
        for gain in gains
    ]
    return header, rows


def feature_rows(results: TransferResults) -> tuple[list[str], list[list[str]]]:
    """Header and rows: what frozen features know of the pose, beside the gain."""
    header = ["initial weights", "probe to joints, mm", "k-NN to joints, mm", "gain, mm"]
    rows = [
        [
            f"{score.arm}, {score.backbone}, seed {score.seed}",
            f"{score.probe_mpjpe_mm:.2f}",
            f"{score.knn_mpjpe_mm:.2f}",
            ", ".join(f"{target} {gain:+.2f}" for target, gain in score.gain_mm.items()) or DASH,
        ]
        for score in results.features
    ]
    return header, rows


def cell_rows(results: TransferResults) -> tuple[list[str], list[list[str]]]:
    """Header and rows: every run, what it cost, and where its configuration is."""
    header = ["cell", "state", "steps x images", "minutes", "device", "commit"]
    rows = [
        [
            cell.folder,
            cell.state,
            f"{cell.iterations:,} x {cell.batch_size}",
            DASH if cell.minutes is None else f"{cell.minutes:.1f}",
            cell.device,
            cell.commit[:12],
        ]
        for cell in results.cells
    ]
    return header, rows


def as_markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [list(header), ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(markdown_text(c) for c in line) + " |" for line in lines)


def markdown_text(text: str) -> str:
    """Text with the characters escaped that Markdown, HTML in it, or its formulae would take."""
    for character, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, escaped)
    return re.sub(r"([\\`*_$|])", r"\\\1", text)


def as_csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as CSV."""
    text = io.StringIO()
    safe = [[_not_a_formula(cell) for cell in line] for line in (header, *rows)]
    csv.writer(text, lineterminator="\n").writerows(safe)
    return text.getvalue()


def _not_a_formula(cell: str) -> str:
    """Text that a spreadsheet would compute is led by an apostrophe; numbers stay."""
    try:
        float(cell)
    except ValueError:
        return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell
    return cell


def as_latex(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """The same as a LaTeX table (package booktabs)."""
    lines = [" & ".join(latex_text(cell) for cell in row) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\caption{" + latex_text(caption) + "}",
            r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}",
            r"\toprule",
            " & ".join(latex_text(cell) for cell in header) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{character: "\\" + character for character in "&%$#_{}"},
    "<": "$<$", ">": "$>$", "≤": r"$\leq$", "–": "--", "±": r"$\pm$", "→": r"$\to$", "−": "$-$",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Text with LaTeX's own characters escaped."""
    return "".join(_LATEX.get(character, character) for character in text)


def mean_and_spread(values: Sequence[float]) -> str:
    """ "47.70 ± 0.41": mean and standard deviation over seeds."""
    if not len(values):
        return DASH
    if np.isnan(values).any():
        return "NaN"
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.2f}"


def interval_text(d: PairedDifference | GroupGain | None) -> str:
    """ "[-1.20, 0.31]"."""
    if d is None or np.isnan(d.low_mm):
        return DASH
    return f"[{d.low_mm:+.2f}, {d.high_mm:+.2f}]"


def unbroken(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The same cells, of which a browser breaks no interval and no spread at a line's end."""
    return [[_KEPT_WHOLE.sub(_without_breaks, cell) for cell in row] for row in rows]


def _without_breaks(found: re.Match) -> str:
    return found.group().replace(" ", "\u00a0").replace("-", "\u2011")


def p_text(p: float) -> str:
    """A p-value with the resolution it has."""
    if np.isnan(p):
        return DASH
    return "≤ 0.001" if p <= 0.001 else f"{p:.3f}"


def _columns(results: TransferResults, protocol: str) -> list[str]:
    meshes = [metric_name("MPVPE", protocol)] if _has_meshes(results, protocol) else []
    return [metric_name("MPJPE", protocol), *meshes]


def metric_name(metric: str, protocol: str) -> str:
    """ "MPJPE interhand_wrist"; the aligned error has a name of its own, "PA-MPJPE"."""
    return f"PA-{metric}" if protocol == "pa_mpjpe" else f"{metric} {protocol}"


def _number(value: int | None) -> str:
    return DASH if value is None else f"{value:,}"


def _mean_and_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    if not len(values):
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def _fields(d: PairedDifference | None, *names: str) -> list:
    return [None if d is None else getattr(d, name) for name in names]


def _plain(value) -> str:
    """A cell of a CSV: empty where not known, numbers with five digits."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _values(results: TransferResults, row: TableRow, protocol: str) -> list[str]:
    cells = [mean_and_spread(row.mpjpe_mm.get(protocol, ()))]
    if _has_meshes(results, protocol):
        cells.append(mean_and_spread(row.mpvpe_mm.get(protocol, ())))
    return cells


def _difference_cell(results: TransferResults, row: TableRow) -> str:
    pair = _pair_of(results, row)
    if pair is None or pair.joints is None:
        return DASH
    reference = pair.reference
    if pair.reference_target != row.target:
        reference = f"{pair.reference_target}, {pair.reference}"
    return f"{pair.joints.difference_mm:+.2f} {interval_text(pair.joints)} to {reference}"


def _pair_of(results: TransferResults, row: TableRow) -> ComparedPair | None:
    """The first comparison whose arm, or external system, this row is."""
    for pair in (*results.pairs, *results.external_pairs):
        fraction = pair.fraction if pair.arm else None
        if (pair.target, pair.arm, fraction) == (row.target, row.arm, row.fraction):
            return pair
    return None


def _method(row: TableRow) -> str:
    return f"{row.target} (external)" if row.is_external else f"{row.target}, {row.arm}"


def _count(row: TableRow) -> str:
    return DASH if row.is_external else str(len(row.seeds))


def _has_meshes(results: TransferResults, protocol: str) -> bool:
    return any(
        len(row.mpvpe_mm.get(protocol, ())) and not np.isnan(row.mpvpe_mm[protocol]).all()
        for row in results.rows
    )
