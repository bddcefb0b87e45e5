"""The report says what was found: the verdict, synthetic data, what is missing."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from adapters.transfer.report.figures import FINDING_COLOURS, arm_colours
from adapters.transfer.report.page import write_transfer_report
from adapters.transfer.report.tables import (
    as_csv,
    as_latex,
    as_markdown,
    comparison_numbers,
    comparison_rows,
    latex_text,
    mean_and_spread,
    metric_name,
    p_text,
    transfer_rows,
    unbroken,
)
from adapters.transfer.report.verdict import headline, verdict
from adapters.transfer.score.results import (
    CellLine,
    ComparedPair,
    DrawnPose,
    FeatureScore,
    GroupGain,
    PosePair,
    TableRow,
    TransferResults,
)
from gesture_pretrain.evaluation.statistics.comparison import compare_paired
from gesture_pretrain.report.figures import to_png


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
        "seeds": (0, 1),
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
    assert "SYNTHETIC" in text and "no statement about photographs" in text
    real = " ".join(verdict(results(pair(-5.0), synthetic=False)))
    assert "SYNTHETIC" not in real and "photographs" not in real
    assert "excludes the variance of training again" in " ".join(
        verdict(results(pair(-5.0, seeds=1)))
    )


@pytest.fixture
def titles(monkeypatch):
    """Titles of all images that are drawn, by the name of their function."""
    from adapters.transfer.report import figures as transfer_figures
    from adapters.transfer.report import gain_figures as transfer_gain_figures
    from adapters.transfer.report import page as transfer_report

    noted = []
    for module, name in (
        (transfer_figures, "difference_figure"), (transfer_figures, "label_curves"),
        (transfer_figures, "foretelling_figure"),
        (transfer_gain_figures, "gesture_gains_figure"),
        (transfer_gain_figures, "joint_gains_figure"),
        (transfer_report, "pose_pairs_figure"), (transfer_report, "embedding_figure"),
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
    points[3] = np.nan
    mesh = rng.integers(0, 255, (64, 64, 2), np.uint8)
    found = results(
        pair(-5.0),
        pair(None, reference="shuffled"),
        features=(FeatureScore("gesture", "tiny", 0, 40.0, 42.0, {"net": 5.0}),),
        feature_points={"gesture": (rng.normal(size=(20, 2)), np.arange(20) % 3)},
        feature_classes=3,
        pose_pairs=(
            PosePair(
                image,
                DrawnPose(points, mesh),
                DrawnPose(points + 2),
                DrawnPose(points - 2, mesh),
                "best: 0016_fist",
                9.0,
                5.0,
            ),
        ),
        external_pairs=(external_pair(3.0),),
        trouble=("Cell x failed: RuntimeError.",),
        audit=("pretraining: nothing.",),
        ledgers={"net, gesture": "complete"},
        facts={"commits": "abc"},
        plan_text='{"name": "try"}',
        cells=(
            CellLine("cells/net-0123", "finished, resumed", 150, 16, 2.5, "cpu", "abcdef"),
            CellLine("cells/net-4567", "failed", 150, 16, None, "", ""),
        ),
        commands=("python tools/transfer_experiment.py try report",),
    )
    page = write_transfer_report(tmp_path, found).read_text()
    assert len(titles) == 8 and all("SYNTHETIC" in title for _, title in titles)
    assert len({name for name, _ in titles}) == 7  # the differences twice: of other systems, too
    assert page.count("<img") == 8 and "http" not in re.sub(r"base64,[^\"]*", "", page)
    for text in (
        "HELPS: Does it help?", "Cell x failed", "Protocol interhand_wrist: a card",
        "not run: no seed has both", "pretraining: nothing.", "commits", "cells/net-0123",
        "Not confounded", "NOT corrected for their number", "Other systems had other training data",
        "HaMeR against net, gesture, 100 % labels", "1 of 2 gestures were recorded often enough",
        "tools/transfer_experiment.py try report",
    ):  # fmt: skip
        assert text in page, text
    markdown = (tmp_path / "report.md").read_text()
    assert markdown.startswith("# HELPS: Does it help?") and "SYNTHETIC" in markdown
    own = found.pairs[0].label
    assert (
        f"| {own} | 1 gesture in pretraining | 12 | 4 | -3.00 | [-4.50, -1.50] | 0.010 |"
        in markdown
    )
    assert f"| {own} | 1 gesture not in pretraining | 8 | 2 | +1.00 | – | – |" in markdown
    assert (
        "## Other systems" in markdown and "| HaMeR against net, gesture, 100 % labels" in markdown
    )
    assert "| gesture, tiny, seed 0 | 40.00 | 42.00 | net +5.00 |" in markdown
    assert "| cells/net-0123 | finished, resumed | 150 x 16 | 2.5 | cpu | abcdef |" in markdown
    assert "| cells/net-4567 | failed | 150 x 16 | – |  |  |" in markdown
    assert '{"name": "try"}' in markdown and "Weights that arrived: net, gesture" in markdown
    assert re.search(r"\| net, gesture \| 10 % \| .* \| 2 \| 200 \| 46.00 ± 1.41 \|", markdown)
    assert (tmp_path / "table.csv").read_text().splitlines()[1].startswith("net,random,0.1,")
    gains = list(csv.DictReader((tmp_path / "gains.csv").open()))
    assert gains[1] == {
        "comparison": own,
        "part": "gesture",
        "name": "0011_aokay",
        "in pretraining": "no",
        "hands": "8",
        "clusters": "2",
        "difference, mm": "1.0000",
        "low, mm": "",
        "high, mm": "",
        "p, Holm": "",
    }
    assert (gains[0]["low, mm"], gains[0]["high, mm"]) == ("-4.5000", "-1.5000")  # fmt: skip
    assert [row["name"] for row in gains if row["part"] == "joint"][:2] == ["index1", "index2"]
    assert len((tmp_path / "other_systems.csv").read_text().splitlines()) == 2
    assert (tmp_path / "cells.csv").read_text().count("\n") == 3
    latex = (tmp_path / "table.tex").read_text()
    assert latex.count(r"\begin{table}") == 2 and "against random" in latex
    assert r"46.00 $\pm$ 1.41" in latex and r"10 \%" in latex and r"interhand\_wrist" in latex


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ((True, True), "All gestures of the test were in pretraining"),
        ((None, None), "Which gestures pretraining had is not known"),
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


def test_every_arm_has_one_colour_that_says_neither_better_nor_worse():
    colours = arm_colours(["random", "gesture", "shuffled"])
    assert len(set(colours.values())) == 3
    assert not set(colours.values()) & set(FINDING_COLOURS.values())
    assert arm_colours(["random", "gesture"])["gesture"] == colours["gesture"]


def test_gestures_without_intervals_are_said_to_be_undecided(tmp_path):
    first = pair(-5.0)
    bare = [GroupGain(gain.name, gain.difference_mm, gain.hands, True) for gain in first.by_gesture]
    page = write_transfer_report(
        tmp_path, results(replace(first, by_gesture=tuple(bare), by_exposure=()))
    ).read_text()
    assert (
        "none is decided" in page
        and "Gestures in pretraining and others" not in (tmp_path / "report.md").read_text()
    )


def test_verdict_over_many_settings_tells_the_two_ends():
    means = {0.01: -9.0, 0.05: -7.0, 0.1: -5.0, 1.0: -0.1}
    pairs = [pair(mean, fraction=fraction) for fraction, mean in means.items()]
    sentence = verdict(results(*pairs))[0]
    assert "(largest and smallest gain of 4): net, 1 % of the labels" in sentence
    assert "; net, 100 % of the labels" in sentence and "net, 5 %" not in sentence
    assert "net, 5 % of the labels" in verdict(results(*pairs[:3]))[0]


def test_verdict_says_what_holds_for_new_people():
    wide = replace(difference(-5.0), low_mm=-11.0, high_mm=1.0, clusters=6)
    text = " ".join(verdict(results(replace(pair(-5.0), by_subject=wide), pair(-4.0))))
    assert "6 to 40 of them) 1 of 2 intervals leave out zero" in text


def test_table_has_external_rows_and_marks_what_is_not_there():
    external = TableRow("HaMeR", "", None, (), {"interhand_wrist": (16.1,)}, {}, {})
    empty = TableRow("net", "late", 0.1, (0,), {}, {}, {})
    found = results(pair(-5.0), rows=(external, empty), external_pairs=(external_pair(3.0),))
    header, rows = transfer_rows(found)
    d = difference(3.0)
    assert f"{d.difference_mm:+.2f} [{d.low_mm:+.2f}, {d.high_mm:+.2f}] to net, gesture" in rows[0]
    assert rows[0][:3] == ["HaMeR (external)", "–", "–"] and "16.10" in rows[0]
    assert rows[1][2:4] == ["–", "–"] and rows[1][6] == "–" and len(header) == len(rows[0])
    assert mean_and_spread((1.0, float("nan"))) == "NaN"


def test_intervals_and_spreads_are_not_broken_at_the_end_of_a_line():
    (cells,) = unbroken([["-1.5 [-2.0, -1.0] to random", "4.10 ± 0.20", "net, random"]])
    assert cells[0] == "-1.5 [\u20112.0,\u00a0\u20111.0] to random"
    assert cells[1:] == ["4.10\u00a0±\u00a00.20", "net, random"]


def test_latex_escapes_its_own_characters():
    assert latex_text("a_b & 5 % → c") == r"a\_b \& 5 \% $\to$ c"


def test_labels_are_shown_as_text_in_every_format():
    name = "<script>=$x_1$"
    rows = (TableRow(name, "gesture", 0.1, (0,), {"interhand_wrist": (16.1,)}, {}, {}, 360, 90),)
    found = results(rows=rows, arms={"gesture": "="}, mean_pose_mm={"interhand_wrist": 50.0})
    header, table = transfer_rows(found)
    assert "<script>" not in as_markdown(header, table) and r"\$x\_1\$" in as_markdown(
        header, table
    )
    assert r"$<$script$>$=\$x\_1\$" in as_latex(header, table, name)
    assert "'=1+1" in as_csv(["a"], [["=1+1"], ["-1.5"]]) and "\n-1.5" in as_csv(["a"], [["-1.5"]])
    figure = Figure()
    figure.suptitle(name)  # one dollar sign too many would be a formula that cannot be read
    figure.text(0.1, 0.1, r"$\frac{$")
    assert to_png(figure).startswith(b"\x89PNG")


def test_the_mean_training_pose_is_a_row_and_what_is_not_below_it_did_not_learn():
    rows = (TableRow("net", "gesture", 0.1, (0,), {"interhand_wrist": (60.0,)}, {}, {}, 360, 90),)
    lazy = replace(pair(0.0), did_not_learn=("net, gesture",))
    found = results(lazy, rows=rows, mean_pose_mm={"interhand_wrist": 50.0})
    assert lazy.finding == "did not learn" and headline(found) == "DID NOT LEARN"
    assert "net, gesture, 10 %" in next(s for s in verdict(found) if "Did not learn" in s)
    _, table = transfer_rows(found)
    assert table[-1][0] == "mean training pose" and table[-1][6] == "50.00"
    assert table[0][2:4] == ["360", "90"]


def test_a_pair_that_did_not_learn_is_not_called_undecided():
    lazy = replace(pair(0.0), did_not_learn=("net, gesture",))
    said = verdict(results(pair(-5.0), pair(0.0, target="b"), lazy))[0]
    assert "lower error in 1 of 3" in said
    assert "not decided in 1, did not learn in 1" in said
    alone = verdict(results(lazy))[0]
    assert "not decided" not in alone and alone.count("did not learn") == 2


def test_numbers_of_the_csv_are_numbers():
    header, rows = comparison_numbers([pair(-5.0), replace(pair(1.0), joints=None, missing="?")])
    for place in ("difference_mm", "low_mm", "high_mm", "p", "sign_flip_p", "p_holm"):
        float(rows[0][header.index(place)])
    header_md, (row, _) = comparison_rows([pair(-5.0), pair(None)])
    assert row[header_md.index("p, sign flip")] == p_text(difference(-5.0).sign_flip_p)
    assert rows[1][header.index("difference_mm")] == ""
    assert metric_name("MPJPE", "pa_mpjpe") == "PA-MPJPE"
