"""The tables of a transfer study as pandas frames.

`…_numbers` have a column per number, for programs; missing values are empty. `…_table` have the
texts that readers see on the page, in Markdown and in LaTeX.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from adapters.transfer.score.results import (
    ComparedPair,
    GroupGain,
    TableRow,
    TransferResults,
    percent,
)
from gesture_pretrain.evaluation.statistics.comparison import PairedDifference
from gesture_pretrain.report.frames import DASH, numbers_frame, texts_frame

DIFFERENCE = "difference to its reference [95 % interval]"
_MEAN_POSE = "mean training pose"
_EXPOSURE = "seen and unseen"


# --- scores --------------------------------------------------------------------------------


def transfer_table(results: TransferResults) -> pd.DataFrame:
    """Build the table in the form of the paper's Table 2, with spread and difference."""
    first, *others = results.protocols
    columns = ["method", "labels", *metrics(results, first), DIFFERENCE]
    columns += ["images", "moments", "seeds", "hands"]
    columns += [name for protocol in others for name in metrics(results, protocol)]
    rows = [_transfer_row(results, row) for row in results.rows]
    if results.mean_pose_mm:
        poses = results.mean_pose_mm.items()
        errors = {metric_name("MPJPE", name): f"{error_mm:.2f}" for name, error_mm in poses}
        rows.append({"method": _MEAN_POSE, **errors})
    return texts_frame(rows, columns)


def _transfer_row(results: TransferResults, row: TableRow) -> dict[str, str | None]:
    return {
        "method": f"{row.target} (external)" if row.is_external else f"{row.target}, {row.arm}",
        "labels": percent(row.fraction) if row.fraction else None,
        "images": _count(row.train_images),
        "moments": _count(row.train_moments),
        "seeds": None if row.is_external else str(len(row.seeds)),
        "hands": f"{row.hands.get(results.protocols[0], 0):,}",
        DIFFERENCE: _difference_text(results, row),
        **{metric_name("MPJPE", p): mean_and_spread(mm) for p, mm in row.mpjpe_mm.items()},
        **{metric_name("MPVPE", p): mean_and_spread(mm) for p, mm in row.mpvpe_mm.items()},
    }


def transfer_numbers(results: TransferResults) -> pd.DataFrame:
    """Build the same table as numbers, a row per method and protocol."""
    rows = [
        {
            "target": row.target,
            "arm": row.arm,
            "fraction": row.fraction,
            "train_images": row.train_images,
            "train_moments": row.train_moments,
            "seeds": len(row.seeds),
            "protocol": protocol,
            "hands": row.hands.get(protocol),
            **_mean_and_sd("mpjpe", row.mpjpe_mm.get(protocol, ())),
            **(_bounds(row.interval_mm) if protocol == results.protocols[0] else {}),
            **_mean_and_sd("mpvpe", row.mpvpe_mm.get(protocol, ())),
        }
        for row in results.rows
        for protocol in results.protocols
    ]
    rows += [
        {"target": _MEAN_POSE, "arm": "", "protocol": protocol, "mpjpe_mm": error_mm}
        for protocol, error_mm in results.mean_pose_mm.items()
    ]
    columns = ["target", "arm", "fraction", "train_images", "train_moments", "seeds", "protocol"]
    columns += ["hands", "mpjpe_mm", "mpjpe_sd_mm", "low_mm", "high_mm", "mpvpe_mm", "mpvpe_sd_mm"]
    return numbers_frame(rows, columns)


def metrics(results: TransferResults, protocol: str) -> list[str]:
    """List the columns of a protocol: MPJPE, and MPVPE if any method has meshes."""
    meshes = [row.mpvpe_mm.get(protocol, ()) for row in results.rows]
    has_meshes = any(len(values) and not np.isnan(values).all() for values in meshes)
    return [metric_name(metric, protocol) for metric in ("MPJPE", "MPVPE")[: 1 + has_meshes]]


def metric_name(metric: str, protocol: str) -> str:
    """Name a column, such as "MPJPE interhand_wrist"; the aligned error is "PA-MPJPE"."""
    return f"PA-{metric}" if protocol == "pa_mpjpe" else f"{metric} {protocol}"


def _difference_text(results: TransferResults, row: TableRow) -> str | None:
    """Format the first comparison whose arm, or external system, this row is."""
    for pair in (*results.pairs, *results.external_pairs):
        fraction = pair.fraction if pair.arm else None
        if (pair.target, pair.arm, fraction) != (row.target, row.arm, row.fraction):
            continue
        if pair.joints is None:
            return None
        same = pair.reference_target == row.target
        reference = pair.reference if same else f"{pair.reference_target}, {pair.reference}"
        return f"{pair.joints.difference_mm:+.2f} {interval_text(pair.joints)} to {reference}"
    return None


# --- comparisons ---------------------------------------------------------------------------


def comparison_table(pairs: Sequence[ComparedPair]) -> pd.DataFrame:
    """Build the table of declared comparisons, or of external systems and their references."""
    columns = [
        "comparison", "difference, mm", "95 % interval", "%", "p", "p, sign flip", "p, Holm",
        "finding", "interval over subjects", "MPVPE, mm", "detectable, mm",
        "seeds, clusters, hands",
    ]  # fmt: skip
    return texts_frame([_comparison_row(pair) for pair in pairs], columns)


def _comparison_row(pair: ComparedPair) -> dict[str, str | None]:
    d, mesh = pair.joints, pair.meshes
    if d is None:
        return {"comparison": pair.label, "finding": f"not run: {pair.missing}"}
    return {
        "comparison": pair.label,
        "difference, mm": f"{d.difference_mm:+.2f}",
        "95 % interval": interval_text(d),
        "%": f"{d.percent:+.1f} [{d.percent_low:+.1f}, {d.percent_high:+.1f}]",
        "p": p_text(d.p_value),
        "p, sign flip": p_text(d.sign_flip_p),
        "p, Holm": p_text(pair.joints_p_holm),
        "finding": pair.finding + (f" ({pair.missing})" if pair.missing else ""),
        "interval over subjects": interval_text(pair.by_subject),
        "MPVPE, mm": mesh
        and f"{mesh.difference_mm:+.2f} {interval_text(mesh)}, {pair.meshes_protocol}",
        "detectable, mm": f"{d.detectable_mm:.2f}",
        "seeds, clusters, hands": f"{d.seeds}, {d.clusters}, {d.samples:,}",
    }


def comparison_numbers(pairs: Sequence[ComparedPair]) -> pd.DataFrame:
    """Build the same table as numbers."""
    columns = [
        "target", "arm", "reference_target", "reference", "fraction", "finding",
        "reference_mm", "mean_mm", "difference_mm", "low_mm", "high_mm", "percent", "percent_low",
        "percent_high", "p_value", "sign_flip_p", "p_holm", "detectable_mm", "seeds",
        "pretrainings", "clusters", "samples", "subject_low_mm", "subject_high_mm",
        "mpvpe_protocol", "mpvpe_difference_mm", "mpvpe_low_mm", "mpvpe_high_mm",
    ]  # fmt: skip
    rows = [
        {name: getattr(pair, name, getattr(pair.joints, name, None)) for name in columns}
        | {"p_holm": pair.joints_p_holm, "mpvpe_protocol": pair.meshes_protocol}
        | _with_prefix("subject", pair.by_subject)
        | _with_prefix("mpvpe", pair.meshes)
        for pair in pairs
    ]
    names = {"mean_mm": "arm_mm", "p_value": "p", "samples": "hands"}
    return numbers_frame(rows, columns).rename(columns=names)


def _with_prefix(prefix: str, difference: PairedDifference | None) -> dict[str, float]:
    names = ("difference_mm", "low_mm", "high_mm")
    return {f"{prefix}_{n}": getattr(difference, n) for n in names if difference is not None}


# --- parts of the differences ----------------------------------------------------------------


def seen_table(results: TransferResults) -> pd.DataFrame:
    """Build each comparison on the gestures that pretraining had and had not.

    Empty where all or no gestures were in pretraining: it would repeat the comparisons.
    """
    rows = [
        {
            "comparison": pair.label,
            "gestures": gain.name,
            "hands": f"{gain.hands:,}",
            "clusters": str(gain.clusters),
            "difference, mm": f"{gain.difference_mm:+.2f}",
            "95 % interval": interval_text(gain),
            "p, Holm": p_text(gain.p_holm),
        }
        for pair in results.pairs
        if len(pair.by_exposure) > 1
        for gain in pair.by_exposure
    ]
    return pd.DataFrame(rows)


def gain_numbers(results: TransferResults) -> pd.DataFrame:
    """Build each comparison by gesture, by joint, and by seen and unseen gestures."""
    rows = [
        {
            "comparison": pair.label,
            "part": part,
            "name": gain.name,
            "in pretraining": {True: "yes", False: "no", None: None}[gain.seen],
            "hands": gain.hands,
            "clusters": gain.clusters,
            "difference, mm": gain.difference_mm,
            "low, mm": gain.low_mm,
            "high, mm": gain.high_mm,
            "p, Holm": gain.p_holm,
        }
        for pair in results.pairs
        for part, gains in (
            ("gesture", pair.by_gesture),
            ("joint", pair.by_joint),
            (_EXPOSURE, pair.by_exposure),
        )
        for gain in gains
    ]
    columns = ["comparison", "part", "name", "in pretraining", "hands", "clusters"]
    columns += ["difference, mm", "low, mm", "high, mm", "p, Holm"]
    return numbers_frame(rows, columns)


# --- features, equivalents -------------------------------------------------------------------


def feature_table(results: TransferResults) -> pd.DataFrame:
    """Build the table of frozen features' pose errors, beside the gain after fine-tuning."""
    rows = [
        {
            "initial weights": f"{score.arm}, {score.backbone}, seed {score.seed}",
            "probe to joints, mm": f"{score.probe_mpjpe_mm:.2f}",
            "k-NN to joints, mm": f"{score.knn_mpjpe_mm:.2f}",
            "gain, mm": ", ".join(f"{t} {gain:+.2f}" for t, gain in score.gain_mm.items()) or DASH,
        }
        for score in results.features
    ]
    return pd.DataFrame(rows)


def equivalent_table(results: TransferResults) -> pd.DataFrame:
    """Build the table of what pretraining is worth in steps and in labels."""
    rows = [
        {
            "in": row.kind,
            "comparison": f"{row.target}: {row.arm} against {row.reference}",
            "labels": percent(row.fraction),
            "error, mm": f"{row.error_mm:.1f}",
            "arm needs": _amount(row.arm_amount),
            "reference needs": _amount(row.reference_amount),
        }
        for row in results.equivalents.itertuples()
    ]
    return pd.DataFrame(rows)


def _amount(amount: float) -> str:
    return "not reached" if pd.isna(amount) else f"{amount:,.0f}"


# --- texts of cells --------------------------------------------------------------------------


def mean_and_spread(values: Sequence[float]) -> str:
    """Format mean and standard deviation over seeds, such as "47.70 ± 0.41"."""
    if not len(values):
        return DASH
    if np.isnan(values).any():
        return "NaN"
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.2f}"


def interval_text(d: PairedDifference | GroupGain | None) -> str:
    """Format an interval in mm, such as "[-1.20, +0.31]"."""
    if d is None or np.isnan(d.low_mm):
        return DASH
    return f"[{d.low_mm:+.2f}, {d.high_mm:+.2f}]"


def p_text(p: float) -> str:
    """Format a p-value with the resolution that it has."""
    if np.isnan(p):
        return DASH
    return "≤ 0.001" if p <= 0.001 else f"{p:.3f}"


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _bounds(interval_mm: tuple[float, float] | None) -> dict[str, float]:
    return {} if interval_mm is None else dict(zip(("low_mm", "high_mm"), interval_mm, strict=True))


def _mean_and_sd(metric: str, values: Sequence[float]) -> dict[str, float]:
    found = {}
    if len(values):
        found[f"{metric}_mm"] = float(np.mean(values))
    if len(values) > 1:
        found[f"{metric}_sd_mm"] = float(np.std(values, ddof=1))
    return found
