"""Every figure can be drawn; curves are read."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from gesture_pretrain.report import contact_sheet as sheet
from gesture_pretrain.report import figures
from gesture_pretrain.report.training_curves import read_training_curves
from gesture_pretrain.skeleton import JOINT_NAMES_MANO21

PNG = b"\x89PNG\r\n\x1a\n"
RNG = np.random.default_rng(0)


def test_figures_are_png_and_repeatable():
    points, classes = RNG.normal(size=(40, 2)), RNG.integers(-1, 5, 40)
    left = classes > 2
    curve = (np.arange(5), np.arange(5.0))
    errors = RNG.random((6, 21))
    errors[:, 0] = np.nan
    for draw in (
        lambda: figures.confusion_figure(RNG.integers(0, 9, (5, 5)) * 0 + 3, list("abcde"), "t"),
        lambda: figures.embedding_figure(
            {"a": (points, classes), "b": (points, classes)},
            title="t",
            num_classes=5,
            left_hand={"a": left, "b": left},
        ),
        lambda: figures.curve_figure({"p": {"c": curve}}, title="t", x_label="x"),
        lambda: figures.joint_error_figure({"m": errors}, JOINT_NAMES_MANO21, title="t"),
    ):
        first, second = draw(), draw()
        assert first.startswith(PNG) and first == second


def test_dollar_signs_in_labels_are_no_formulae():
    figure = Figure()
    figure.suptitle("<script>=$x_1$")
    figure.text(0.1, 0.1, r"$\frac{$")  # matplotlib could not read it as a formula
    assert figures.to_png(figure).startswith(PNG)


def test_class_colours_are_distinct():
    colours = figures.class_colours(54)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + np.eye(54)
    assert colours.shape == (54, 4) and distance.min() > 0.02


def test_confusion_of_unused_classes_is_left_out():
    """A taxonomy may have many more classes than a split; empty rows would fill the figure."""
    counts = np.zeros((300, 300), int)
    counts[3, 3] = counts[3, 200] = 1
    small = figures.confusion_figure(counts, [str(i) for i in range(300)], "t")
    assert len(small) < 60_000


def test_contact_sheet():
    tile = sheet.Tile(
        RNG.integers(0, 255, (32, 32, 3), dtype=np.uint8),
        "fist → point",
        False,
        RNG.random((21, 2)) * 32,
        np.arange(21) != 4,
    )
    plain = sheet.Tile(np.zeros((32, 32, 3), np.uint8), "fist")
    assert sheet.contact_sheet([tile, plain] * 4, title="t").startswith(PNG)
    with pytest.raises(ValueError, match="at least one"):
        sheet.contact_sheet([], title="t")


def test_sheet_shows_as_many_classes_as_fit():
    classes = np.array([0] * 50 + [1, 2, 3] + [-1] * 5)
    chosen = sheet.spread_over_classes(classes, 5)
    assert set(classes[chosen]) == {-1, 0, 1, 2, 3} and len(set(chosen)) == 5
    assert len(sheet.spread_over_classes(classes, 100)) == len(classes)
    assert (np.diff(classes[chosen]) >= 0).all()


def test_curves_are_grouped(tmp_path):
    lines = [
        {"iteration": 1, "epoch": 0, "lr": 0.1, "train_loss": 2.0, "train_coarse_top1": 0.1},
        {"iteration": 2, "epoch": 0, "lr": 0.1, "train_loss": 1.0},
        {"iteration": 2, "val_coarse_top1": 0.3},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    curves = read_training_curves(tmp_path)
    assert curves["Losses"]["train_loss"][1].tolist() == [2.0, 1.0]
    assert set(curves["Top-1"]) == {"train_coarse_top1", "val_coarse_top1"}


def test_no_run_folder_and_torn_line_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a run folder"):
        read_training_curves(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 1}\n{"iterat')
    with pytest.raises(ValueError, match="line 2 is not a JSON object"):
        read_training_curves(tmp_path)
