"""What a transfer experiment says, in sentences: the verdict first."""

from collections.abc import Sequence

import numpy as np

from adapters.transfer.report.tables import interval_text, p_text
from adapters.transfer.score.results import (
    ComparedPair,
    TableRow,
    TransferResults,
    percent,
)
from gesture_pretrain.evaluation.poses.mean_pose import did_not_learn

_WORDS = {
    "better": "HELPS",
    "worse": "HURTS",
    "undecided": "NOT DECIDED",
    "did not learn": "DID NOT LEARN",
    "mixed": "MIXED",
    "not run": "NOT RUN",
}

CONTROLLED = (
    "Architecture, schedule, number of steps, batch size, augmentation and the order of "
    "the samples are the same in all arms of a target, as the stream of samples depends on seed "
    "and step alone.",
    "Which pose labels are used depends on share and seed alone: all arms get the same.",
    "The last weights are scored. Nothing is chosen on the test images, in any arm.",
    "Equal seeds are paired; all arms are scored on the same hands.",
)
_ALL_TOLD = 3  # of more settings, two are told and the image shows all
EXTERNAL = (
    "Other systems had other training data, networks and boxes: their differences say which "
    "predictions are nearer the truth on these hands, and nothing of pretraining. Each is one set "
    "of weights; what another training of it would change is not in its interval. Holm's "
    "correction is over the rows of this table."
)


def verdict(results: TransferResults) -> list[str]:
    """What a reader should know after ten seconds."""
    if not results.pairs:
        return [_data_sentence(results), "The plan declares no comparison: there is no verdict."]
    groups = _groups(results.pairs)
    sentences = [_finding_sentence(results, pairs) for pairs in groups]
    sentences.append(_sureness_sentence(results))
    sentences.append(_data_sentence(results))
    sentences += _learning_sentences(results)
    if results.trouble:
        sentences.append(f"Incomplete: {len(results.trouble)} remarks below, under Trouble.")
    return sentences


def _learning_sentences(results: TransferResults) -> list[str]:
    """Which networks are no better than the mean training pose, if any."""
    limit = results.mean_pose_mm.get(results.protocols[0], float("nan"))
    lazy = [
        f"{row.target}, {row.arm}, {percent(row.fraction)}"
        for row in results.rows
        if not row.is_external and did_not_learn(_mean_error(results, row), limit)
    ]
    if not lazy:
        return []
    return [
        f"Did not learn: the error of {'; '.join(lazy)} is not below that of the mean training pose"
        f" ({limit:.1f} mm). Their comparisons say nothing about pretraining."
    ]


def _mean_error(results: TransferResults, row: TableRow) -> float:
    values = row.mpjpe_mm.get(results.protocols[0], ())
    return float(np.mean(values)) if len(values) else -np.inf


def headline(results: TransferResults) -> str:
    """The verdict in one word."""
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
    overall = _overall(pairs)
    first = pairs[0]
    crossed = first.target != first.reference_target
    what = f"{first.arm} against {first.reference}"
    if crossed:
        what = (
            f"{first.arm} in {first.target} against {first.reference} in {first.reference_target}"
        )
    if overall == "not run":
        return f"{_WORDS[overall]} – {what}."
    compared = [pair for pair in pairs if pair.joints is not None]
    better = sum(pair.finding == "better" for pair in compared)
    worse = sum(pair.finding == "worse" for pair in compared)
    unlearned = sum(pair.finding == "did not learn" for pair in compared)
    count = len(compared)
    undecided = count - better - worse - unlearned
    tally = f"lower error in {better} of {count} setting{'s' * (count > 1)}"
    if worse:
        tally += f", higher in {worse}"
    if undecided:
        tally += f", not decided in {undecided}"
    if unlearned:
        tally += f", did not learn in {unlearned}"
    details = "; ".join(_detail(results, pair) for pair in _most_telling(compared))
    more = "" if count <= _ALL_TOLD else f" (largest and smallest gain of {count})"
    text = f" {first.text}" if first.text else ""
    return f"{_WORDS[overall]} – {what}: {tally}. MPJPE{more}: {details}.{text}"


def _most_telling(pairs: Sequence[ComparedPair]) -> Sequence[ComparedPair]:
    if len(pairs) <= _ALL_TOLD:
        return pairs
    ordered = sorted(pairs, key=lambda pair: pair.joints.difference_mm)
    return ordered[0], ordered[-1]


def labels_of(results: TransferResults, pair: ComparedPair) -> str:
    """The labels of a comparison: "3 % of the labels (360 images, 90 moments)"."""
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


def _sureness_sentence(results: TransferResults) -> str:
    compared = [pair.joints for pair in results.pairs if pair.joints is not None]
    if not compared:
        return "How sure: nothing was compared."
    seeds = sorted({d.seeds for d in compared})
    clusters = sorted({d.clusters for d in compared})
    detectable = [d.detectable_mm for d in compared if not np.isnan(d.detectable_mm)]
    others = ["sequences"] + ["seeds"] * (seeds != [1])
    others += ["pretrainings"] * all(d.pretrainings > 1 for d in compared)
    text = (
        f"How sure: {_span(seeds)} seed{'' if seeds == [1] else 's'}, {_span(clusters)} clusters "
        f"(subject, sequence); the intervals hold for other {' and '.join(others)} of this "
        "experiment"
    )
    if detectable:
        least, most = f"{min(detectable):.2f}", f"{max(detectable):.2f}"
        span = least if least == most else f"{least} to {most}"
        text += f"; differences of {span} mm or more would be found"
    caveats = dict.fromkeys(caveat for d in compared for caveat in d.caveats)
    return " ".join([f"{text}.", *_subjects_sentence(results), *caveats])


def _subjects_sentence(results: TransferResults) -> list[str]:
    """What whole subjects as clusters say, where it is known."""
    found = [pair.by_subject for pair in results.pairs if pair.by_subject is not None]
    found = [d for d in found if not np.isnan(d.low_mm)]
    if not found:
        return []
    away = sum(d.low_mm > 0 or d.high_mm < 0 for d in found)
    return [
        f"For new people (clusters are whole subjects, {_span(sorted({d.clusters for d in found}))}"
        f" of them) {away} of {len(found)} intervals leave out zero."
    ]


def _span(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _data_sentence(results: TransferResults) -> str:
    kind = (
        "SYNTHETIC, rendered images: this is no statement about photographs"
        if results.synthetic
        else "images that the index does not mark as synthetic"
    )
    return f"On what: {results.data_title}, {kind}. {results.test_text}"


def confounded(results: TransferResults) -> list[str]:
    """What differs between arms apart from what they are meant to differ in."""
    return [*results.confounds, _of_unseen_gestures(results)]


def _of_unseen_gestures(results: TransferResults) -> str:
    gains = [gain for pair in results.pairs for gain in pair.by_gesture]
    if any(gain.seen is False for gain in gains):
        return (
            "Pretraining and test have gesture classes in common; see the gains on gestures that "
            "pretraining did not have."
        )
    if gains and all(gain.seen for gain in gains):
        return (
            "All gestures of the test were in pretraining, by other people: nothing is said of "
            "gestures that pretraining did not have."
        )
    return "Which gestures of the test pretraining had is not known."
