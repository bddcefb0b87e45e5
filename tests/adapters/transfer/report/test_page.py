"""The report says what was found: the verdict, synthetic data, what is missing."""

import csv
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from adapters.transfer.report.page import write_transfer_report
from adapters.transfer.report.tables import (
    comparison_numbers,
    comparison_table,
    mean_and_spread,
    metric_name,
    p_text,
    transfer_table,
)
from adapters.transfer.report.verdict import headline, verdict
from adapters.transfer.score.results import (
    ComparedPair,
    FeatureScore,
    GroupGain,
    TableRow,
    TransferResults,
)
from gesture_pretrain.evaluation.statistics.comparison import compare_paired
from gesture_pretrain.report.contact_sheet import Tile


def difference(mean_mm, *, spread_mm=1.0, seeds=3):
    rng = np.random.default_rng(0)
    reference = np.full((seeds, 200), 50.0)
    errors = reference + mean_mm + rng.normal(0, spread_mm, (seeds, 200))
    return compare_paired(errors, reference, np.arange(200) // 5)


def pair(mean_mm, *, target="net", reference="random", p_holm=None, fraction=0.1, **options):
    d = None if mean_mm is None else difference(mean_mm, **options)
    known = np.nan if d is None else d.p_value
    return ComparedPair(
        target=target,
        reference_target=target,
        fraction=fraction,
        arm="gesture",
        reference=reference,
        joints=d,
        joints_p_holm=known if p_holm is None else p_holm,
        by_subject=d,
        by_gesture=(
            GroupGain("0016_fist", -3.0, 12, True, 4, -4.5, -1.5, 0.01),
            GroupGain("0011_aokay", 1.0, 8, False, 2),
        ),
        by_joint=tuple(
            GroupGain(f"index{k}", -1.0 * k, 20, None, 9, -1.5 * k, -0.5 * k, 0.04)
            for k in (1, 2, 3, 4)
        ),
        by_exposure=(
            GroupGain("1 gesture in pretraining", -3.0, 12, True, 4, -4.5, -1.5, 0.01),
            GroupGain("1 gesture not in pretraining", 1.0, 8, False, 2),
        ),
        missing="" if d else "no seed has both of its cells finished",
    )


def results(*pairs, **changes):
    rows = [
        TableRow(
            target=target,
            arm=arm,
            fraction=fraction,
            seeds=(0, 1),
            mpjpe_mm={"interhand_wrist": (50.0 + shift, 52.0 + shift)},
            mpvpe_mm={},
            hands={"interhand_wrist": 200},
            interval_mm=(48.0 + shift, 54.0 + shift),
        )
        for target in ("net",)
        for fraction in (0.1, 1.0)
        for arm, shift in (("random", 0.0), ("gesture", -5.0))
    ]
    defaults = {
        "name": "try",
        "question": "Does it help?",
        "data_title": "made-up hands",
        "synthetic": True,
        "test_text": "Scored on 200 images.",
        "protocols": ("interhand_wrist",),
        "cards": {"interhand_wrist": ("Protocol interhand_wrist: a card",)},
        "rows": tuple(rows),
        "pairs": pairs,
        "arms": {"random": "no pretraining", "gesture": "gestures"},
        "targets": {"net": "a network"},
    }
    return TransferResults(**{**defaults, **changes})


@pytest.mark.parametrize(
    "pairs, word, finding",
    [
        ([pair(-5.0), pair(-4.0, target="other")], "HELPS", "better"),
        ([pair(5.0)], "HURTS", "worse"),
        ([pair(0.0)], "NOT DECIDED", "undecided"),
        ([pair(-5.0), pair(0.0, target="other")], "MIXED", "better"),
        ([pair(None)], "NOT RUN", "not run"),
        ([], "NO COMPARISON", None),
    ],
)
def test_verdict_in_one_word(pairs, word, finding):
    found = results(*pairs)
    assert headline(found) == word
    if pairs:
        assert pairs[0].finding == finding and verdict(found)[0].startswith(word.split()[0])


def test_what_is_not_significant_after_holm_is_not_called_better():
    raw = pair(-5.0)
    assert raw.finding == "better" and replace(raw, joints_p_holm=0.06).finding == "undecided"


def test_verdict_says_how_much_how_sure_and_on_what():
    text = " ".join(verdict(results(pair(-5.0), pair(-2.0, reference="shuffled"))))
    d = difference(-5.0)
    assert f"{d.difference_mm:+.2f} mm ({d.percent:+.1f} %)" in text
    assert f"[{d.low_mm:+.2f}, {d.high_mm:+.2f}]" in text and "after Holm" in text
    assert "gesture against shuffled" in text and "3 seeds, 40 clusters" in text
    assert "SYNTHETIC" in text and "not extend to photographs" in text
    real = " ".join(verdict(results(pair(-5.0), synthetic=False)))
    assert "SYNTHETIC" not in real and "photographs" not in real
    assert "excludes the variance of training again" in " ".join(
        verdict(results(pair(-5.0, seeds=1)))
    )


@pytest.fixture
def titles(monkeypatch):
    """Titles of all figures that are drawn, by the name of their function."""
    from adapters.transfer.report import figures, gains, page

    noted = []
    for module, name in (
        (figures, "difference_figure"), (page, "label_curves"), (page, "step_curves"),
        (figures, "prediction_figure"), (gains, "gesture_gains_figure"),
        (gains, "joint_gains_figure"), (page, "contact_sheet"),
    ):  # fmt: skip
        original = getattr(module, name)

        def drawn(*args, title, name=name, original=original, **options):
            noted.append((name, title))
            return original(*args, title=title, **options)

        monkeypatch.setattr(module, name, drawn)
    return noted


def external_pair(mean_mm):
    return replace(
        pair(mean_mm, fraction=1.0), target="HaMeR", reference_target="net", arm="",
        reference="gesture", by_gesture=(), by_joint=(), by_exposure=(),
    )  # fmt: skip


def test_report_has_everything_and_calls_synthetic_data_so_on_every_figure(tmp_path, titles):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 64, 3), np.uint8)
    points = rng.uniform(0, 64, (21, 2))
    curves = [("net", "gesture", 0.1, s, k, 50 - 0.01 * k) for s in (0, 1) for k in (100, 200)]
    cells = [
        ("cells/net-0123", "finished, resumed", "150 x 16", "2.5", "cpu", "abcdef"),
        ("cells/net-4567", "failed", "150 x 16", "–", "", ""),
    ]
    found = results(
        pair(-5.0),
        pair(None, reference="shuffled"),
        features=(FeatureScore("gesture", "tiny", 0, 40.0, 42.0, {"net": 5.0}),),
        pose_tiles=tuple(Tile(image, text, keypoints_px=points) for text in ("truth", "a", "b")),
        external_pairs=(external_pair(3.0),),
        trouble=("Cell x failed: RuntimeError.",),
        audit=("pretraining: nothing.",),
        ledgers={"net, gesture": "complete"},
        facts={"commits": "abc"},
        plan_text='{"name": "try"}',
        cells=pd.DataFrame(cells, columns=["cell", "state", "work", "minutes", "device", "commit"]),
        command="python tools/transfer_experiment.py try report",
        curves=pd.DataFrame(
            curves, columns=["target", "arm", "fraction", "seed", "steps", "error_mm"]
        ),
    )
    page = write_transfer_report(tmp_path, found).read_text()
    assert len(titles) == 8 and all("SYNTHETIC" in title for _, title in titles)
    assert len({name for name, _ in titles}) == 7  # the differences twice: of other systems, too
    assert page.count("<img") == 8 and "http" not in re.sub(r"base64,[^\"]*", "", page)
    for text in (
        "HELPS: Does it help?", "Cell x failed", "Protocol interhand_wrist: a card",
        "not run: no seed has both", "pretraining: nothing.", "commits", "cells/net-0123",
        "Threats to validity", "NOT corrected for their number", "had other training data",
        "HaMeR against net, gesture, 100 % labels", "1 of 2 gestures were recorded often enough",
        "tools/transfer_experiment.py try report", "Weights that arrived: net, gesture",
    ):  # fmt: skip
        assert text in page, text
    markdown = (tmp_path / "report.md").read_text()
    assert markdown.startswith("# HELPS: Does it help?") and "SYNTHETIC" in markdown
    own = found.pairs[0].label
    for line in (
        f"| {own} | 1 gesture in pretraining | 12 | 4 | -3.00 | [-4.50, -1.50] | 0.010 |",
        f"| {own} | 1 gesture not in pretraining | 8 | 2 | +1.00 | – | – |",
        "## Other systems",
        "| HaMeR against net, gesture, 100 % labels",
        "| gesture, tiny, seed 0 | 40.00 | 42.00 | net +5.00 |",
        "| cells/net-0123 | finished, resumed | 150 x 16 | 2.5 | cpu | abcdef |",
        "| cells/net-4567 | failed | 150 x 16 | – |  |  |",
        '{"name": "try"}',
    ):
        assert line in markdown, line
    assert re.search(r"\| net, gesture \| 10 % \| 46.00 ± 1.41 \| .* \| 2 \| 200 \|", markdown)
    gains = list(csv.DictReader((tmp_path / "gains.csv").open()))
    assert (gains[0]["low, mm"], gains[0]["high, mm"]) == ("-4.5", "-1.5")
    assert gains[1]["in pretraining"] == "no" and gains[1]["hands"] == "8"
    assert float(gains[1]["difference, mm"]) == 1 and gains[1]["low, mm"] == ""
    assert [row["name"] for row in gains if row["part"] == "joint"][:2] == ["index1", "index2"]
    (first, *_) = csv.DictReader((tmp_path / "curves.csv").open())
    assert (first["arm"], first["steps"], first["error_mm"]) == ("gesture", "100", "49.0")
    assert (tmp_path / "table.csv").read_text().splitlines()[1].startswith("net,random,0.1,")
    assert len((tmp_path / "other_systems.csv").read_text().splitlines()) == 2
    assert (tmp_path / "cells.csv").read_text().count("\n") == 3
    latex = (tmp_path / "table.tex").read_text()
    assert latex.count(r"\begin{table}") == 2 and "against random" in latex
    assert r"46.00 $\pm$ 1.41" in latex and r"10 \%" in latex and r"interhand\_wrist" in latex


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ((True, True), "All gestures of the test were in pretraining"),
        ((None, None), "Which gestures pretraining had is unknown"),
        ((True, False), None),
    ],
)
def test_unseen_gestures_are_told_apart_from_unknown_ones(tmp_path, seen, said):
    """Gestures of which nothing was known were said to have been in pretraining."""
    first = pair(-5.0)
    gains = [replace(gain, seen=s) for gain, s in zip(first.by_gesture, seen, strict=True)]
    found = results(replace(first, by_gesture=tuple(gains)))
    page = write_transfer_report(tmp_path, found).read_text()
    for sentence in ("All gestures of the test", "Which gestures pretraining had"):
        assert (sentence in page) == (said is not None and said.startswith(sentence))


@pytest.mark.parametrize(
    ("gain", "finding"),
    [
        (GroupGain("a", -3.0, 9, None, 4, -4.0, -2.0, 0.049), "better"),
        (GroupGain("a", 3.0, 9, None, 4, 2.0, 4.0, 0.049), "worse"),
        (GroupGain("a", -3.0, 9, None, 4, -4.0, -2.0, 0.051), "undecided"),
        (GroupGain("a", -30.0, 9, None, 2), "undecided"),
    ],
)
def test_part_is_called_better_after_holm_only(gain, finding):
    assert gain.finding == finding


def test_many_comparisons_show_the_main_one_at_the_top_and_all_below(tmp_path, titles):
    pairs = [
        pair(-5.0, reference=reference, fraction=fraction)
        for reference in ("random", "shuffled")
        for fraction in (0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0)
    ]
    write_transfer_report(tmp_path, results(*pairs))
    shown = [title for name, title in titles if name == "difference_figure"]
    assert len(shown) == 2 and shown[1].startswith("All differences")


def test_gestures_without_intervals_are_said_to_be_undecided(tmp_path):
    first = pair(-5.0)
    bare = [GroupGain(gain.name, gain.difference_mm, gain.hands, True) for gain in first.by_gesture]
    page = write_transfer_report(
        tmp_path, results(replace(first, by_gesture=tuple(bare), by_exposure=()))
    ).read_text()
    assert (
        "none is significant" in page
        and "not in pretraining" not in (tmp_path / "report.md").read_text()
    )


def test_verdict_over_many_settings_gives_their_range():
    means = {0.01: -9.0, 0.05: -7.0, 0.1: -5.0, 1.0: -0.1}
    pairs = [pair(mean, fraction=fraction) for fraction, mean in means.items()]
    sentence = verdict(results(*pairs))[0]
    assert "from -9.0" in sentence and "to -0.1" in sentence and "net, 5 %" not in sentence
    assert "net, 5 % of the labels" in verdict(results(*pairs[:2]))[0]


def test_verdict_says_what_holds_for_new_people():
    wide = replace(difference(-5.0), low_mm=-11.0, high_mm=1.0, clusters=6)
    text = " ".join(verdict(results(replace(pair(-5.0), by_subject=wide), pair(-4.0))))
    assert "6 to 40 subjects), 1 of 2 intervals exclude zero" in text


def test_table_has_external_rows_and_marks_what_is_not_there():
    external = TableRow("HaMeR", "", None, (), {"interhand_wrist": (16.1,)}, {}, {})
    empty = TableRow("net", "late", 0.1, (0,), {}, {}, {})
    found = results(pair(-5.0), rows=(external, empty), external_pairs=(external_pair(3.0),))
    first, second, *_ = transfer_table(found).to_numpy().tolist()
    d = difference(3.0)
    assert f"{d.difference_mm:+.2f} [{d.low_mm:+.2f}, {d.high_mm:+.2f}] to net, gesture" in first
    assert first[:3] == ["HaMeR (external)", "–", "16.10"]
    assert second[:4] == ["net, late", "10 %", "–", "–"]
    assert mean_and_spread((1.0, float("nan"))) == "NaN"


def test_labels_are_shown_as_text_in_every_format(tmp_path):
    name = "<script>|=$x_1$\n"
    rows = (TableRow(name, "gesture", 0.1, (0,), {"interhand_wrist": (16.1,)}, {}, {}, 360, 90),)
    found = results(
        pair(-5.0, target=name), rows=rows, arms={"gesture": "=cmd|"}, question=name,
        mean_pose_mm={"interhand_wrist": 50.0}, targets={name: name},
    )  # fmt: skip
    page = write_transfer_report(tmp_path, found).read_text()
    assert "<script" not in page and "&lt;script&gt;|=$x_1$" in page
    text = (tmp_path / "report.md").read_text()
    assert "<script" not in text and r"&lt;script&gt;\|=\$x\_1\$ , gesture | 10 %" in text
    assert r"$<$script$>$|=\$x\_1\$ , gesture & 10 \%" in (tmp_path / "table.tex").read_text()


def test_the_mean_training_pose_is_a_row_and_what_is_not_below_it_did_not_learn():
    rows = (
        TableRow(
            "net", "gesture", 0.1, (0,), {"interhand_wrist": (60.0,)}, {}, {}, 360, 90,
            did_not_learn=True,
        ),
    )  # fmt: skip
    lazy = replace(pair(0.0), did_not_learn=("net, gesture",))
    found = results(lazy, rows=rows, mean_pose_mm={"interhand_wrist": 50.0})
    assert lazy.finding == "did not learn" and headline(found) == "DID NOT LEARN"
    assert "net, gesture, 10 %" in next(s for s in verdict(found) if "Did not learn" in s)
    first, last = transfer_table(found).to_numpy().tolist()
    assert last[0] == "mean training pose" and last[2] == "50.00"
    assert first[4:6] == ["360", "90"]


def test_a_pair_that_did_not_learn_is_not_called_undecided():
    lazy = replace(pair(0.0), did_not_learn=("net, gesture",))
    said = verdict(results(pair(-5.0), pair(0.0, target="b"), lazy))[0]
    assert "lower error in 1 of 3" in said
    assert "not decided in 1, did not learn in 1" in said
    alone = verdict(results(lazy))[0]
    assert "not decided" not in alone and alone.count("did not learn") == 2


def test_numbers_of_the_csv_are_numbers():
    numbers = comparison_numbers([pair(-5.0), replace(pair(1.0), joints=None, missing="?")])
    d = difference(-5.0)
    columns = ["difference_mm", "low_mm", "high_mm", "p", "sign_flip_p", "hands"]
    expected = [d.difference_mm, d.low_mm, d.high_mm, d.p_value, d.sign_flip_p, d.samples]
    assert numbers.loc[0, columns].tolist() == pytest.approx(expected)
    assert numbers.loc[1, columns].isna().all()
    table = comparison_table([pair(-5.0), pair(None)])
    assert table.loc[0, "p, sign flip"] == p_text(d.sign_flip_p)
    assert table.loc[1, "difference, mm"] == "–"
    assert metric_name("MPJPE", "pa_mpjpe") == "PA-MPJPE"
