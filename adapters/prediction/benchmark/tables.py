"""The results of the measurements as Markdown tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.prediction.benchmark.measure import SYSTEMS
from gesture_pretrain.tables import markdown_table

_PARTS = ("wrist", "centred", "pa")


def tables(results: Mapping[str, Any]) -> str:
    """Format the parts that were measured."""
    makers = {"signs": _signs, "annotated": _annotated, "rendered": _rendered, "video": _video}
    return "\n\n".join(make(results[name]) for name, make in makers.items() if name in results)


def _signs(found: Mapping[str, Any]) -> str:
    distance, side = found["pa_to_mediapipe_mm"], found["right_handedness"]
    return markdown_table(
        ["photographs of signs", ""],
        [
            ["images", str(found["images"])],
            ["hand detected", _percent(found["detected"])],
            ["handedness right, detector", _percent(side["detector"])],
            ["handedness right, network's gestures", _percent(side["network"])],
            ["PA distance to MediaPipe, median", _mm(distance["median"])],
            ["PA distance to MediaPipe, 90th percentile", _mm(distance["percentile_90"])],
        ],
    )


def _annotated(found: Sequence[Mapping[str, Any]]) -> str:
    header = ["image", "hand", *(f"{system}: hand, 2D error" for system in SYSTEMS)]
    rows = [
        [
            row["image"],
            row["annotated_hand"] or "",
            *(f"{row[f'hand_{s}'] or 'none'}, {_number(row[f'error_2d_{s}'])}" for s in SYSTEMS),
        ]
        for row in found
    ]
    return markdown_table(header, rows)


def _rendered(found: Mapping[str, Any]) -> str:
    header = ["rendered hands", "found", "MPJPE", "centred", "PA-MPJPE"]
    return markdown_table(header, [[system, *_errors(found[system])] for system in SYSTEMS])


def _video(found: Mapping[str, Any]) -> str:
    header = ["video", "found", "MPJPE", "centred", "PA-MPJPE", "jitter", "frames/s"]
    rows = [
        [
            f"boxes from the {source}, {kind}",
            *_errors(values[kind]),
            _mm(values[kind]["jitter_mm"]),
            f"{values['frames_per_s']:.1f}" if kind == "raw" else "",
        ]
        for source, values in found.items()
        for kind in ("raw", "smoothed")
    ]
    return markdown_table(header, rows)


def _errors(found: Mapping[str, Any]) -> list[str]:
    return [_percent(found["found"]), *(_mm(found[f"{part}_mm"]["mean"]) for part in _PARTS)]


def _mm(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} mm"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
