"""Several crops of an image: their keys, classes, maps and sizes."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from gesture_pretrain.data.folders import build_folder_index
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import (
    Augmentation,
    augmentation_stream,
    draw_motions,
)
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.hand_crops import CropPlan
from gesture_pretrain.geometry.crop import apply_affine
from gesture_pretrain.taxonomy import Taxonomy

AUGMENTATION = Augmentation(flip=0.5)


def crops_of(
    index: HandIndex, plan: CropPlan | None, *, epoch=3, augmentation=AUGMENTATION, **opts
):
    taxonomy = Taxonomy.load("interhand26m")
    dataset = GestureDataset(
        index,
        range(len(index)),
        taxonomy,
        64,
        augmentation=augmentation,
        announce=None,
        crops=plan,
        seed=7,
        **opts,
    )
    return dataset.__getitems__([(epoch, position) for position in range(len(index))])


def test_first_crop_is_that_of_the_recipe(eight_hands):
    recipe, several = (crops_of(eight_hands, plan) for plan in (None, CropPlan(local=0)))
    for one, other in zip(recipe, several, strict=True):
        assert torch.equal(one.image, other.image)
        assert (one.coarse, one.fine, one.row) == (other.coarse, other.fine, other.row)


def test_crops_are_keyed_by_seed_epoch_row_and_crop():
    for crop in (0, 1, 5):
        stream = augmentation_stream(1, 2, 3, crop)
        assert draw_motions(AUGMENTATION, 1, [2], [3], crop=crop) == [AUGMENTATION.draw(stream)]
    drawn = [draw_motions(AUGMENTATION, 1, [2], [3], crop=crop)[0].scale for crop in range(4)]
    assert len(set(drawn)) == 4


def test_workers_and_order_do_not_change_the_crops(eight_hands):
    samples = crops_of(eight_hands, CropPlan(local_size_px=32))
    alone = crops_of(eight_hands, CropPlan(local_size_px=32))[5]
    for a, b in zip(samples[5], alone, strict=True):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))
    assert samples[5].local_images.shape == (4, 3, 32, 32)


def test_map_takes_joints_of_the_first_crop_to_the_second(eight_hands):
    """The map is compared with the joints of crops 0 and 1, which do not use it."""
    rows = list(range(len(eight_hands)))
    plain = GestureDataset(
        eight_hands, rows, Taxonomy.load("interhand26m"), 64, announce=None, seed=7
    )
    notes = plain.annotations.read(np.array(rows))
    drawn = CropPlan(local=0).draw(AUGMENTATION, 7, [3] * len(rows), rows)
    samples = crops_of(eight_hands, CropPlan(local=0))
    for k, sample in enumerate(samples):
        places = []
        for motion in drawn[k]:
            plain._motions = lambda epochs, rows, motion=motion: [motion]
            places.append(plain[k].keypoints_px.numpy())
        valid = notes.joint_valid[k]
        moved = apply_affine(places[0], sample.full_maps[0].numpy())
        assert np.allclose(moved[valid], places[1][valid], atol=1e-2)


def test_mirrored_crops_have_the_mirrored_classes_and_another_moment(eight_hands):
    taxonomy = Taxonomy.load("interhand26m")
    seen = set()
    for sample in crops_of(eight_hands, CropPlan(local_size_px=32)):
        own = (sample.coarse, sample.fine)
        others = zip(
            sample.other_coarse.tolist(),
            sample.other_fine.tolist(),
            sample.other_moment.tolist(),
            strict=True,
        )
        for *classes, moment in others:
            same_pose = moment == sample.moment
            assert tuple(classes) == (own if same_pose else taxonomy.flip(*own))
            assert moment // 2 == sample.moment // 2
            seen.add(same_pose)
    assert seen == {True, False}


def test_unlabelled_images_have_crops_without_class(eight_hands):
    no_class = replace(Taxonomy.load("interhand26m"), coarse_of={}, fine_of={})
    dataset = GestureDataset(
        eight_hands, [0], no_class, 64, announce=None, crops=CropPlan(local_size_px=32)
    )
    assert dataset[0].coarse == -1 and dataset[0].other_fine.tolist() == [-1] * 5


def test_image_without_a_box_is_shown_whole(tmp_path):
    folder = tmp_path / "photos" / "fist"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), np.full((40, 60, 3), 200, np.uint8))
    index = HandIndex.open(build_folder_index(tmp_path / "photos", progress=False))
    taxonomy = Taxonomy.from_index_labels(index.labels)
    plan = CropPlan(local=1, local_size_px=32, local_translation=0)
    sample = GestureDataset(index, [0], taxonomy, 64, announce=None, crops=plan)[0]
    bars = (sample.image == 0).all(0)
    assert bars[0].all() and not bars[32].any()
    assert not (sample.local_images[0] == 0).any()  # half of the side shows no bar


def test_batches_collate_without_further_crops(eight_hands):
    samples = crops_of(eight_hands, CropPlan(full=1, local=0))
    batch = next(iter(DataLoader(samples, batch_size=4)))
    assert batch.full_images.shape == (4, 0, 3, 64, 64) and batch.local_images.shape[1] == 0
    assert batch.moment.shape == (4,)


@pytest.mark.parametrize(
    "wrong",
    [{"full": 0}, {"local": -1}, {"local_scale": 0}, {"local_scale": 2}, {"local_translation": 2}],
)
def test_impossible_plans_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CropPlan(**wrong)
