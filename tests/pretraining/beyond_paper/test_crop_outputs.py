"""The network on all crops of a batch, and the projector beside the exported heads."""

from dataclasses import replace

import pytest
import torch
from torch.utils.data import default_collate

from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.hand_crops import CropPlan, HandCrops
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.models.image_normaliser import ImageNormaliser
from gesture_pretrain.pretraining.beyond_paper.contrast import HierarchicalContrast
from gesture_pretrain.pretraining.beyond_paper.crop_outputs import run_crops
from gesture_pretrain.pretraining.beyond_paper.dense import MaskedDistillation
from gesture_pretrain.pretraining.beyond_paper.equivariance import CropEquivariance
from gesture_pretrain.pretraining.beyond_paper.losses import BeyondPaper
from gesture_pretrain.pretraining.beyond_paper.projector import ProjectedHeads
from gesture_pretrain.pretraining.model import GesturePretrainer
from gesture_pretrain.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load("interhand26m")
CLASSES = {"num_coarse": TAXONOMY.num_coarse, "num_fine": TAXONOMY.num_fine}


def make_batch(index, *, taxonomy=TAXONOMY, **plan) -> HandCrops:
    dataset = GestureDataset(
        index,
        range(8),
        taxonomy,
        64,
        augmentation=Augmentation(flip=0.5),
        announce=None,
        crops=CropPlan(local_size_px=32, **plan),
    )
    return default_collate(dataset.__getitems__([(1, k) for k in range(8)]))


@pytest.fixture
def network(backbone):
    return GestureNetwork(backbone, build_gesture_heads(512, hidden=8, dropout=0.0, **CLASSES))


def options_for(network, *names) -> BeyondPaper:
    low = network.backbone.feature_specs[network.backbone.low].channels
    parts = {
        "projector": lambda: ProjectedHeads(
            512, hidden=16, channels=8, head_hidden=8, head_dropout=0.0, **CLASSES
        ),
        "contrast": lambda: HierarchicalContrast(512, hidden=16, channels=8),
        "equivariance": lambda: CropEquivariance(low, hidden=16),
        "dense": lambda: MaskedDistillation(low, hidden=16),
    }
    return BeyondPaper(**{name: parts[name]() for name in names})


def test_rows_are_ordered_by_crop_and_carry_their_labels(network, eight_hands):
    batch = make_batch(eight_hands, local=1)
    normalise = ImageNormaliser(network.backbone.input_spec)
    network.eval()
    with torch.no_grad():
        crops = run_crops(network, normalise, batch)
        second = network(normalise(batch.full_images[:, 0]))
        local = network(normalise(batch.local_images[:, 0]))
    assert crops.pooled.shape == (24, 512) and crops.full.coarse_logits.shape[0] == 16
    assert torch.allclose(crops.pooled[8:16], second.features.pooled, atol=1e-5)
    assert torch.allclose(crops.coarse_logits[16:], local.coarse_logits, atol=1e-5)
    assert torch.equal(crops.fine[8:16], batch.other_fine[:, 0])
    assert torch.equal(crops.moment[16:], batch.other_moment[:, 1])


def test_local_crops_leave_the_running_statistics_alone(network, eight_hands):
    batch, normalise = (
        make_batch(eight_hands, local=2),
        ImageNormaliser(network.backbone.input_spec),
    )
    statistics = network.backbone.net.bn1.running_mean
    network.train()
    run_crops(network, normalise, batch)
    with_local = statistics.clone()
    statistics.zero_()
    run_crops(network, normalise, make_batch(eight_hands, local=0))
    assert torch.allclose(with_local, statistics, atol=1e-6)


def test_projector_alone_trains_the_backbone(network, eight_hands):
    model = GesturePretrainer(network, beyond_paper=options_for(network, "projector")).train()
    values = model(make_batch(eight_hands, local=1), mode="loss")
    weight = network.backbone.net.conv1.weight
    exported = torch.autograd.grad(
        values["loss_coarse"] + values["loss_fine"],
        [weight, network.heads.coarse.layers[0].weight],
        retain_graph=True,
        allow_unused=True,
    )
    assert exported[0] is None and exported[1].abs().sum() > 0
    through = torch.autograd.grad(values["projected_loss_coarse"], weight)
    assert through[0].abs().sum() > 0


def test_without_projector_the_loss_is_the_mean_over_all_crops(network, eight_hands):
    batch = make_batch(eight_hands, local=1)
    model = GesturePretrainer(network, beyond_paper=options_for(network, "contrast")).eval()
    values = model(batch, mode="loss")
    crops = run_crops(network, model.normalise, batch)
    expected = torch.nn.functional.cross_entropy(crops.coarse_logits, crops.coarse)
    assert torch.allclose(values["loss_coarse"], expected)
    assert [name for name in values if "loss" in name] == [
        "loss_coarse",
        "loss_fine",
        "loss_contrast",
    ]


def test_predictions_are_those_of_the_network_alone(network, eight_hands):
    batch = make_batch(eight_hands, local=1)
    plain = GesturePretrainer(network).eval()
    model = GesturePretrainer(network, beyond_paper=options_for(network, "projector")).eval()
    with torch.no_grad():
        assert torch.equal(model.val_step(batch).coarse, plain.val_step(batch).coarse)


def test_unlabelled_batch_has_gradients_from_the_label_free_terms_only(network, eight_hands):
    unlabelled = replace(TAXONOMY, coarse_of={}, fine_of={})
    batch = make_batch(eight_hands, taxonomy=unlabelled, local=1)
    options = options_for(network, "projector", "contrast", "equivariance", "dense")
    options.learn_from(network.backbone)
    model = GesturePretrainer(network, beyond_paper=options).train()
    values = model(batch, mode="loss")
    losses = {name: value.item() for name, value in values.items() if "loss" in name}
    assert {name for name, value in losses.items() if value == 0} == {
        "loss_coarse",
        "loss_fine",
        "projected_loss_coarse",
        "projected_loss_fine",
    }
    sum(value for name, value in values.items() if "loss" in name).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_dense_without_a_teacher_is_refused(network, eight_hands):
    model = GesturePretrainer(network, beyond_paper=options_for(network, "dense"))
    with pytest.raises(RuntimeError, match="learn_from"):
        model(make_batch(eight_hands, local=0), mode="loss")
