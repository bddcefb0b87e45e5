"""What a report says of its images is what the index says."""

from types import SimpleNamespace

import pytest

from gesture_pretrain.evaluation.features.facts import image_kind


@pytest.mark.parametrize(
    ("kind", "name", "synthetic", "said"),
    [
        ("interhand26m", "InterHand2.6M", None, "photographs"),
        ("folders", "signs", None, "photographs"),
        ("interhand26m", "my rendered hands", None, "images"),
        ("interhand26m", "embedded synthetic set", {"seed": 0}, "synthetic images"),
    ],
)
def test_only_recorded_images_are_called_photographs(kind, name, synthetic, said):
    meta = {"kind": kind, "data_name": name, "synthetic": synthetic}
    assert image_kind(SimpleNamespace(meta=meta)) == said
