"""The report of a plan: scores, comparisons, diagnostics and figures of the finished cells."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from adapters.transfer.plan.audit import audit_plan, not_audited, stored_pretrainings
from adapters.transfer.plan.cell import CellTable
from adapters.transfer.plan.plan import Plan
from adapters.transfer.plan.rows import finetuning_rows, scored_rows
from adapters.transfer.report.page import write_transfer_report
from adapters.transfer.run.execution import outcome
from adapters.transfer.run.forecast import clusters_text, count_clusters
from adapters.transfer.score.comparing import (
    cluster_columns,
    compare_external,
    compare_plan,
)
from adapters.transfer.score.equivalents import equivalents
from adapters.transfer.score.exposure import exposure_of_arms
from adapters.transfer.score.feature_scores import feature_score, feature_tables
from adapters.transfer.score.pose_pairs import pose_tiles
from adapters.transfer.score.pretraining import pretraining_table
from adapters.transfer.score.record import (
    cell_table,
    compute,
    compute_of_stored,
    facts,
    learning_rate_lines,
    ledgers,
    noted_values,
)
from adapters.transfer.score.results import (
    ComparedPair,
    FeatureScore,
    TableRow,
    TransferResults,
)
from adapters.transfer.score.scoring import (
    Scored,
    mean_pose_errors,
    on_shared_hands,
    score_plan,
    truth_reader,
)
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.leakage import LeakageAudit
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.mean_pose import did_not_learn
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS
from gesture_pretrain.evaluation.statistics.paired_scores import mean_interval
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.report.frames import numbers_frame

CURVE_COLUMNS = ("arm", "target", "fraction", "seed", "steps", "error_mm")


def write_report(plan: Plan, table: CellTable, out: Path, *, command: str = "") -> Path:
    """Score the finished cells and write `out/reports/<plan>/`.

    Returns:
        The path of report.html.
    """
    results = collect_results(plan, table, out, command=command)
    folder = Path(out) / "reports" / plan.name
    page = write_transfer_report(folder, results)
    pairs = [{**asdict(pair), "finding": pair.finding} for pair in results.pairs]
    write_bytes_atomically(folder / "comparisons.json", json.dumps(pairs, indent=1).encode())
    return page


def collect_results(
    plan: Plan, table: CellTable, out: Path, *, command: str = ""
) -> TransferResults:
    """Collect everything that the report shows."""
    reader, audits = truth_reader(plan), audit_plan(plan, table)
    scored = score_plan(plan, table, out, reader)
    mean_pose_mm = mean_pose_errors(plan, reader, _labelled_rows(plan))
    rows = _rows(plan, scored, mean_pose_mm.get(plan.protocols[0], np.nan))
    pairs = compare_plan(plan, scored, exposure=exposure_of_arms(plan, table))
    pairs = _mark_unlearned(pairs, rows)
    compared = [pair for pair in pairs if pair.joints is not None]
    tiles = pose_tiles(plan, table, out, scored, compared[0], reader) if compared else ()
    source = reader.index.meta
    return TransferResults(
        name=plan.name,
        question=plan.question,
        data_title=source["data_name"],
        synthetic=bool(source["synthetic"]),
        test_text=_test_text(plan, reader),
        protocols=plan.protocols,
        cards=_cards(scored),
        rows=tuple(rows),
        pairs=tuple(pairs),
        external_pairs=tuple(compare_external(plan, scored)),
        arms={name: arm.text or _arm_text(arm) for name, arm in plan.arms.items()},
        targets={name: target.text or target.target for name, target in plan.targets.items()},
        audit=tuple(_audit_sentences(plan, table, audits)),
        features=_features(plan, table, out, scored),
        pose_tiles=tiles,
        ledgers=ledgers(table, out),
        confounds=tuple(_confounds(plan)),
        compute=(
            *compute_of_stored(plan),
            *compute(table),
            *learning_rate_lines(table, out),
            *noted_values(table, out),
        ),
        trouble=tuple(_trouble(table, out, scored)),
        pretraining=pretraining_table(plan, table, out),
        mean_pose_mm=mean_pose_mm,
        facts=facts(table, out),
        cells=cell_table(table, out),
        curves=numbers_frame(scored.curves, CURVE_COLUMNS),
        equivalents=equivalents(plan, scored),
        plan_text=json.dumps(asdict(plan), indent=1),
        command=command,
    )


def _mark_unlearned(pairs: list[ComparedPair], rows: list[TableRow]) -> list[ComparedPair]:
    """Name the arms of each comparison that are not better than the mean training pose."""
    unlearned = {(row.target, row.arm, row.fraction) for row in rows if row.did_not_learn}
    found = []
    for pair in pairs:
        sides = ((pair.target, pair.arm), (pair.reference_target, pair.reference))
        names = [f"{t}, {a}" for t, a in sides if (t, a, pair.fraction) in unlearned]
        found.append(replace(pair, did_not_learn=tuple(names)))
    return found


def _labelled_rows(plan: Plan) -> np.ndarray:
    """Select the rows with pose labels of the largest fraction, in the first seed."""
    data = {**plan.data, **plan.finetuning.get("data", {}), "fraction": max(plan.fractions)}
    data.setdefault("fraction_seed", plan.seeds[0])
    return finetuning_rows(HandIndex.open(plan.data["index"]), data)


def _rows(plan: Plan, scored: Scored, mean_pose_mm: float) -> list[TableRow]:
    rows = [
        TableRow(
            target=system.name,
            arm="",
            fraction=None,
            seeds=(),
            **_values(plan, [scored.external[system.name]]),
            refused=scored.refused[system.name],
        )
        for system in plan.external
    ]
    for target in plan.targets:
        for fraction in plan.fractions:
            for arm in plan.arms_of(target):
                places = [(target, arm, fraction, seed) for seed in plan.seeds]
                places = [place for place in places if place in scored.cells]
                if places:
                    rows.append(_row(plan, scored, places, mean_pose_mm))
    return rows


def _row(plan: Plan, scored: Scored, places: list[tuple], mean_pose_mm: float) -> TableRow:
    """Build the row of the finished runs that differ only in their seed."""
    target, arm, fraction, _ = places[0]
    scores, first = [scored.cells[place] for place in places], scored.results[places[0]]
    values = _values(plan, scores)
    errors_mm = values["mpjpe_mm"].get(plan.protocols[0], ())
    return TableRow(
        target=target,
        arm=arm,
        fraction=fraction,
        seeds=tuple(place[3] for place in places),
        **values,
        train_images=first["train_images"],
        train_moments=first.get("train_moments"),
        refused=scored.refused[places[0]],
        interval_mm=_interval(plan, scores),
        did_not_learn=bool(errors_mm) and did_not_learn(float(np.mean(errors_mm)), mean_pose_mm),
    )


def _values(plan: Plan, of_seeds: list[dict]) -> dict:
    joints, meshes, hands = {}, {}, {}
    for name in plan.protocols:
        averages = [scores[name].averages for scores in of_seeds if name in scores]
        if not averages:
            continue
        joints[name] = tuple(average.mpjpe_mm["single"] for average in averages)
        hands[name] = averages[0].num_hands["single"]
        if PROTOCOLS[name].vertices:
            meshes[name] = tuple(average.mpvpe_mm["single"] for average in averages)
    return {"mpjpe_mm": joints, "mpvpe_mm": meshes, "hands": hands}


def _interval(plan: Plan, of_seeds: list[dict]) -> tuple[float, float] | None:
    scores = [scores[plan.protocols[0]] for scores in of_seeds if plan.protocols[0] in scores]
    if not scores:
        return None
    return mean_interval(on_shared_hands(scores), cluster_by=cluster_columns(plan))


def _features(plan: Plan, table: CellTable, out: Path, scored: Scored) -> tuple[FeatureScore, ...]:
    if plan.diagnostics is None:
        return ()
    found = []
    for key, pair in feature_tables(plan, table, out).items():
        if pair[0].has_joints and pair[1].has_joints:
            score = feature_score(key, pair)
            found.append(replace(score, gain_mm=_gains(plan, scored, score)))
    return tuple(found)


def _gains(plan: Plan, scored: Scored, score: FeatureScore) -> dict[str, float]:
    """Return target -> error of the main reference minus this arm's: same seed, fewest labels."""
    if not plan.comparisons or plan.comparisons[0].reference == score.arm:
        return {}
    reference, fraction = plan.comparisons[0].reference, min(plan.fractions)
    found = {}
    for target in plan.targets:
        if plan.backbone_of(target) == score.backbone:
            before_mm, after_mm = (
                _error_mm(plan, scored, (target, arm, fraction, score.seed))
                for arm in (reference, score.arm)
            )
            found[target] = before_mm - after_mm
    return {target: gain_mm for target, gain_mm in found.items() if not np.isnan(gain_mm)}


def _error_mm(plan: Plan, scored: Scored, place: tuple) -> float:
    score = scored.cells.get(place, {}).get(plan.protocols[0])
    return np.nan if score is None else score.averages.mpjpe_mm["single"]


def _audit_sentences(plan: Plan, table: CellTable, audits: dict[str, LeakageAudit]) -> list[str]:
    found = [f"{stage}: " + " ".join(audit.sentences()) for stage, audit in audits.items()]
    if plan.allowed_leaks:
        found.append(f"Leaks that the plan allows: {', '.join(plan.allowed_leaks)}.")
    return found + not_audited(plan)


def _cards(scored: Scored) -> dict[str, tuple[str, ...]]:
    cards = {}
    for scores in (*scored.cells.values(), *scored.external.values()):
        for name, score in scores.items():
            cards.setdefault(name, tuple(score.protocol.card()))
    return cards


def _test_text(plan: Plan, reader: GroundTruthReader) -> str:
    rows = scored_rows(plan, reader.index)
    clusters, subjects = count_clusters(reader.index, rows)
    return (
        f"Scored on {len(rows):,} images of split '{plan.test.split}': "
        f"{clusters_text(plan, clusters, subjects)}."
    )


def _arm_text(arm) -> str:
    if arm.pretrained_here:
        changes = json.dumps(arm.pretrain) if arm.pretrain else "as the plan's pretraining sections"
        return f"pretrained here from {arm.starts_from} weights, {changes}"
    return f"weights {arm.weights}" if arm.weights else f"initialised by '{arm.init}'"


def _confounds(plan: Plan) -> list[str]:
    stored = list(stored_pretrainings(plan, HandIndex.open(plan.data["index"])))
    untrained, trained, longer, elsewhere, tuned = [], [], [], [], []
    for name, arm in plan.arms.items():
        if arm.pretrained_here or name in stored:
            trained.append(name)
        elif not (arm.weights or arm.extra):
            untrained.append(name)
        longer += [name] * bool(arm.extra)
        elsewhere += [name] * (arm.starts_from != "random" and name not in stored)
        tuned += [name] * bool(arm.finetuning)
    fixed_labels = "fraction_seed" in {**plan.data, **plan.finetuning.get("data", {})}
    found = {
        "more training steps in total than the arms without pretraining "
        f"({', '.join(untrained)}), also on images whose pose labels are not used. A control with "
        "shuffled labels has the same compute and images without the gestures; an arm with 'extra' "
        "spends the steps on pose.": trained if untrained else [],
        "more fine-tuning steps, on the same pose labels.": longer,
        "stored weights from a single pretraining for all seeds. The seeds vary only the "
        "fine-tuning; another pretraining could differ.": stored,
        "trained elsewhere, on other images and with more compute.": elsewhere,
        "its own learning rate, because random and pretrained weights need different ones. All "
        "other arms share the optimiser.": tuned,
    }
    labels = (
        "All seeds use the same subset of the pose labels: the spread over seeds does not include "
        "the choice of the subset."
        if fixed_labels
        else "Each seed draws its own subset of the pose labels: the spread over seeds includes it."
    )
    return [*(f"{', '.join(arms)}: {text}" for text, arms in found.items() if arms), labels]


def _trouble(table: CellTable, out: Path, scored: Scored) -> list[str]:
    state = outcome(table, out)
    found = [f"Cell {label} failed: {error}." for label, error in state.failed.items()]
    found += [f"Cell {label} was not run: it needs {b}." for label, b in state.blocked.items()]
    found += [f"Arm {arm} was left out: {why}." for arm, why in table.left_out.items()]
    groups: dict[tuple, set[str]] = {}
    for (target, _, fraction, seed), result in scored.results.items():
        groups.setdefault((target, fraction, seed), set()).add(result["train_rows_sha256"])
    return found + [
        f"The arms of {target} at {fraction} of the labels, seed {seed}, were NOT trained on the "
        "same images."
        for (target, fraction, seed), hashes in groups.items()
        if len(hashes) > 1
    ]
