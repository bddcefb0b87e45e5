"""A small index of rendered hands, its truth, and predictions made from it."""

import numpy as np
import pytest

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.taxonomy import Taxonomy


@pytest.fixture(scope="session")
def rendered_index(tmp_path_factory) -> HandIndex:
    """24 images of both hands, two subjects; every hand has joints and a fit."""
    root = tmp_path_factory.mktemp("evaluation") / "data"
    write_synthetic(
        root,
        images_per_split={"test": 24},
        size_px=64,
        workers=1,
        cameras_per_frame=2,
        subjects={"test": 2},
        progress=False,
    )
    return HandIndex.open(build_interhand_index(root, root / "index", progress=False))


@pytest.fixture(scope="session")
def reader(rendered_index, hand_models):
    return GroundTruthReader(
        rendered_index, hand_models=hand_models, taxonomy=Taxonomy.load("interhand26m")
    )


@pytest.fixture(scope="session")
def truth(reader, rendered_index):
    return reader.read(*reader.hands_of(np.arange(len(rendered_index))))


@pytest.fixture
def predictions_of(rendered_index):
    """Makes predictions of joints and vertices (N, ., 3), camera frame, mm, at any place."""

    def make(truth, joints, vertices=None, system="truth", **changes) -> PosePredictions:
        wrist = joints[:, :1]
        settings = {
            "system": system,
            "index_fingerprint": rendered_index.fingerprint,
            "rows": truth.rows,
            "hand": truth.hand,
            "joints_rel_mm": joints - wrist,
            "vertices_rel_mm": None if vertices is None else vertices - wrist,
            "provenance": {"box_source": "annotation box x 1.25"},
        }
        return PosePredictions(**{**settings, **changes})

    return make
