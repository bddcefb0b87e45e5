"""Feature tables: content, storage, and the names of moments."""

import numpy as np
import pytest
import torch

from gesture_pretrain.data.samples.gesture_dataset import HandSample
from gesture_pretrain.evaluation.features.extract import FeatureTable, extract_features
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.models.image_normaliser import ImageNormaliser

SIZE_PX = 64


class FewSamples(torch.utils.data.Dataset):
    """Seven random crops, two views of each moment; the last row shows no capture."""

    def __len__(self):
        return 7

    def __getitem__(self, i):
        rng = np.random.default_rng(i)
        image = torch.from_numpy(rng.integers(0, 255, (3, SIZE_PX, SIZE_PX), dtype=np.uint8))
        joints = torch.from_numpy(rng.normal(size=(21, 3)).astype(np.float32))
        return HandSample(
            image,
            i % 3,
            -1 if i == 2 else i % 5,
            i % 2,
            torch.zeros(21, 2),
            joints,
            torch.ones(21, dtype=torch.bool),
            10 + i,
        )


class FewRows:
    """The parts of an index that feature tables require."""

    columns = {"subject": None}

    def values(self, name, rows):
        return {
            "split": (rows - 10) // 4,
            "capture": np.where(rows == 16, -1, 0),
            "frame": rows // 2,
            "subject": rows - 10,
        }[name]


@pytest.fixture(scope="module")
def models():
    backbone = build_backbone("hrnet_w16_tiny", size_px=SIZE_PX)
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=3, num_fine=5, hidden=8)
    return {"net": GestureNetwork(backbone, heads), "bare": backbone}


@pytest.fixture(scope="module")
def tables(models):
    return extract_features(models, FewSamples(), FewRows(), batch_size=3, progress=False)


def test_tables_hold_what_the_network_says(models, tables):
    table = tables["net"]
    images = torch.stack([sample.image for sample in (FewSamples()[i] for i in range(7))])
    network = models["net"].eval()
    with torch.no_grad():
        output = network(ImageNormaliser(network.backbone.input_spec)(images))
    # batches of 3 against one of 7: another summation order in the convolutions, float32
    np.testing.assert_allclose(table.features, output.features.pooled, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(table.coarse_logits, output.coarse_logits, rtol=1e-4, atol=1e-5)
    assert table.fine_logits.shape == (7, 5)
    np.testing.assert_array_equal(tables["bare"].features, table.features)
    assert tables["bare"].coarse_logits is None


def test_labels_and_joints_are_the_samples_own(tables):
    table = tables["bare"]
    assert table.coarse.tolist() == [0, 1, 2, 0, 1, 2, 0] and table.fine[2] == -1
    assert table.rows.tolist() == list(range(10, 17)) and table.subjects.tolist() == list(range(7))
    np.testing.assert_array_equal(table.joints_rel_mm[4], FewSamples()[4].joints_rel_mm)
    assert table.has_joints and table.meta["backbone"] == "bare"


def test_groups_are_moments_of_a_split(tables):
    """Views of a moment share a group; captures of two splits with one number do not."""
    groups = tables["bare"].groups
    assert groups[0] == groups[1] != groups[2]
    assert len({groups[0].split("/")[0], groups[4].split("/")[0]}) == 2
    assert groups[6] == "row/16"  # no capture: its own group


def test_table_survives_the_disk(tables, tmp_path):
    for name, table in tables.items():
        read = FeatureTable.load(table.save(tmp_path / "deep" / f"{name}.npz"))
        assert read.meta == table.meta
        for column in ("features", "coarse", "groups", "joint_valid", "coarse_logits"):
            np.testing.assert_array_equal(getattr(read, column), getattr(table, column))
    assert not list((tmp_path / "deep").glob(".*"))


def test_batch_statistics_are_not_touched(models, tables):
    before = {k: v.clone() for k, v in models["bare"].state_dict().items()}
    extract_features({"bare": models["bare"].train()}, FewSamples(), FewRows(), progress=False)
    assert all(torch.equal(before[k], v) for k, v in models["bare"].state_dict().items())


def test_columns_must_agree(tables):
    values = dict(vars(tables["bare"]))
    values["coarse"] = values["coarse"][:-1]
    with pytest.raises(ValueError, match="coarse has 6 entries for 7 features"):
        FeatureTable(**values)


def test_nothing_to_extract_is_an_error(models):
    empty = torch.utils.data.Subset(FewSamples(), [])
    with pytest.raises(ValueError, match="no sample to extract"):
        extract_features(models, empty, FewRows(), progress=False)
