"""The findings of a transfer study in sentences, the verdict first."""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from adapters.transfer.report.tables import interval_text, p_text
from adapters.transfer.score.results import ComparedPair, TransferResults, percent

_WORDS = {
    "better": "HELPS",
    "worse": "HURTS",
    "undecided": "NOT DECIDED",
    "did not learn": "DID NOT LEARN",
    "mixed": "MIXED",
    "not run": "NOT RUN",
}
_OTHERWISE = {
    "worse": "significantly higher",
    "undecided": "not decided",
    "did not learn": "did not learn",
}

CONTROLLED = (
    "All arms of a target have the same architecture, schedule, number of steps, batch size, "
    "augmentation and order of samples. The samples depend on seed and step alone.",
    "All arms use the same pose labels. They depend on fraction and seed alone.",
    "The last weights are scored. Nothing is chosen on the test images.",
    "Equal seeds are paired, and all arms are scored on the same hands.",
)
EXTERNAL = (
    "Other systems had other training data, networks and boxes. Their differences show which "
    "predictions are closer to the ground truth on these hands, and nothing about pretraining. "
    "Each is a single set of weights, so its interval does not include the variance of training "
    "it again. Holm's correction is over the rows of this table."
)
_SHOWN = 2  # with more settings, the text gives the range of their differences


def verdict(results: TransferResults) -> list[str]:
    """Summarise the experiment in sentences, the findings first."""
    if not results.pairs:
        return [_data_sentence(results), "The plan declares no comparison: there is no verdict."]
    groups = _groups(results.pairs)
    sentences = [_finding_sentence(results, pairs) for pairs in groups]
    sentences += [_precision_sentence(results), _data_sentence(results)]
    sentences += _learning_sentences(results)
    if results.trouble:
        sentences.append("Incomplete: the problems are listed below.")
    return sentences


def _learning_sentences(results: TransferResults) -> list[str]:
    """List the networks that are no better than the mean training pose, if any."""
    names = [f"{r.target}, {r.arm}, {percent(r.fraction)}" for r in results.rows if r.did_not_learn]
    if not names:
        return []
    limit_mm = results.mean_pose_mm[results.protocols[0]]
    return [
        f"Did not learn: the error of {'; '.join(names)} is not below that of the mean training "
        f"pose ({limit_mm:.1f} mm). Their comparisons are not evidence about pretraining."
    ]


def headline(results: TransferResults) -> str:
    """Return the verdict in one word."""
    if not results.pairs:
        return "NO COMPARISON"
    return _WORDS[_overall(_groups(results.pairs)[0])]


def _groups(pairs: Sequence[ComparedPair]) -> list[list[ComparedPair]]:
    found: dict[tuple, list[ComparedPair]] = {}
    for pair in pairs:
        crossed = pair.target != pair.reference_target
        key = (pair.arm, pair.reference, (pair.target, pair.reference_target) if crossed else None)
        found.setdefault(key, []).append(pair)
    return list(found.values())


def _overall(pairs: Sequence[ComparedPair]) -> str:
    findings = {pair.finding for pair in pairs} - {"not run"}
    if not findings:
        return "not run"
    return findings.pop() if len(findings) == 1 else "mixed"


def _finding_sentence(results: TransferResults, pairs: Sequence[ComparedPair]) -> str:
    overall, first = _overall(pairs), pairs[0]
    what = f"{first.arm} against {first.reference}"
    if first.target != first.reference_target:
        what = (
            f"{first.arm} in {first.target} against {first.reference} in {first.reference_target}"
        )
    if overall == "not run":
        return f"{_WORDS[overall]} – {what}."
    compared = [pair for pair in pairs if pair.joints is not None]
    count = len(compared)
    found = Counter(pair.finding for pair in compared)
    settings = f"{count} setting{'s' * (count > 1)}"
    tally = f"significantly lower error in {found['better']} of {settings}"
    for finding, words in _OTHERWISE.items():
        if found[finding]:
            tally += f", {words} in {found[finding]}"
    details = _range(compared)
    if count <= _SHOWN:
        details = "; ".join(_detail(results, pair) for pair in compared)
    text = f" {first.text}" if first.text else ""
    return f"{_WORDS[overall]} – {what}: {tally}. MPJPE: {details}.{text}"


def _range(pairs: Sequence[ComparedPair]) -> str:
    ordered = sorted((pair.joints for pair in pairs), key=lambda d: d.difference_mm)
    low, high = ordered[0], ordered[-1]
    return (
        f"differences from {low.difference_mm:+.2f} mm ({low.percent:+.1f} %) to "
        f"{high.difference_mm:+.2f} mm ({high.percent:+.1f} %)"
    )


def labels_of(results: TransferResults, pair: ComparedPair) -> str:
    """Format the labels of a comparison: "3 % of the labels (360 images, 90 moments)"."""
    text = f"{percent(pair.fraction)} of the labels"
    for row in results.rows:
        same = (row.target, row.arm, row.fraction) == (pair.target, pair.arm, pair.fraction)
        if same and row.train_images is not None:
            moments = "" if row.train_moments is None else f", {row.train_moments:,} moments"
            return f"{text} ({row.train_images:,} images{moments})"
    return text


def _detail(results: TransferResults, pair: ComparedPair) -> str:
    d = pair.joints
    interval = interval_text(d)
    unlearned = ", did not learn" if pair.finding == "did not learn" else ""
    return (
        f"{pair.target}, {labels_of(results, pair)}: {d.reference_mm:.2f} → "
        f"{d.mean_mm:.2f} mm, {d.difference_mm:+.2f} mm ({d.percent:+.1f} %), "
        f"95 % interval {interval}, p {p_text(pair.joints_p_holm)} after Holm{unlearned}"
    )


def _precision_sentence(results: TransferResults) -> str:
    compared = [pair.joints for pair in results.pairs if pair.joints is not None]
    if not compared:
        return "Precision: nothing was compared."
    seeds, clusters = ({getattr(d, name) for d in compared} for name in ("seeds", "clusters"))
    others = ["clusters"] + ["seeds"] * (seeds != {1})
    others += ["pretrainings"] * all(d.pretrainings > 1 for d in compared)
    text = (
        f"Precision: {_span(seeds)} seed{'' if seeds == {1} else 's'}, {_span(clusters)} clusters "
        f"of hands. The intervals generalise to other {' and '.join(others)} of this experiment."
    )
    detectable = {f"{d.detectable_mm:.2f}" for d in compared if not np.isnan(d.detectable_mm)}
    if detectable:
        span = _span(detectable)
        text += f" A difference of {span} mm would be detected with a power of 80 %."
    caveats = dict.fromkeys(caveat for d in compared for caveat in d.caveats)
    return " ".join([text, *_subjects_sentence(results), *caveats])


def _subjects_sentence(results: TransferResults) -> list[str]:
    """Summarise the intervals over whole subjects, where they are known."""
    found = [pair.by_subject for pair in results.pairs if pair.by_subject is not None]
    found = [d for d in found if not np.isnan(d.low_mm)]
    if not found:
        return []
    away = sum(d.low_mm > 0 or d.high_mm < 0 for d in found)
    return [
        f"For new people (clusters are the {_span({d.clusters for d in found})} subjects), {away} "
        f"of {len(found)} intervals exclude zero."
    ]


def _span(values: Collection) -> str:
    ordered = sorted(values, key=float)
    return f"{ordered[0]}" if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _data_sentence(results: TransferResults) -> str:
    kind = (
        "SYNTHETIC, rendered images. The result does not extend to photographs"
        if results.synthetic
        else "images that the index does not mark as synthetic"
    )
    return f"Data: {results.data_title}, {kind}. {results.test_text}"


def confounded(results: TransferResults) -> list[str]:
    """List what differs between arms apart from what is tested."""
    return [*results.confounds, _unseen_gestures(results)]


def _unseen_gestures(results: TransferResults) -> str:
    gains = [gain for pair in results.pairs for gain in pair.by_gesture]
    if any(gain.seen is False for gain in gains):
        return (
            "Pretraining and test share some gesture classes. See the differences on gestures that "
            "pretraining did not have."
        )
    if gains and all(gain.seen for gain in gains):
        return (
            "All gestures of the test were in pretraining, shown by other people. Gestures that "
            "pretraining did not have were not tested."
        )
    return "Which gestures of the test were in pretraining is unknown."
