"""The mmengine model: modes, weights of the losses, and a training step."""

from typing import NamedTuple

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

from gesture_pretrain.models.backbone import InputSpec, build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.models.image_normaliser import ImageNormaliser
from gesture_pretrain.pretraining.model import GestureLogits, GesturePretrainer
from gesture_pretrain.pretraining.objective import FineWeightRamp
from gesture_pretrain.pretraining.sections import Objective

SIZE_PX = 32


class Batch(NamedTuple):
    """The fields the pretrainer reads, and one that it does not."""

    image: Tensor
    coarse: Tensor
    fine: Tensor
    row: Tensor


def batch(coarse=(0, 1, 2, -1), fine=(3, -1, 0, -1)) -> Batch:
    image = torch.randint(
        0, 256, (4, 3, SIZE_PX, SIZE_PX), generator=torch.Generator().manual_seed(0)
    )
    labels = (torch.tensor(coarse), torch.tensor(fine))
    return Batch(image.to(torch.uint8), *labels, torch.arange(4))


def pretrainer(**options) -> GesturePretrainer:
    backbone = build_backbone("hrnet_w16_tiny", size_px=SIZE_PX)
    torch.manual_seed(0)
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=3, num_fine=4, hidden=16)
    return GesturePretrainer(GestureNetwork(backbone, heads), **options)


def test_losses_are_weighted_and_named():
    model = pretrainer(ramp=FineWeightRamp(start=0.5, step=0.25), coarse_weight=2.0).eval()
    logits = model(batch(), mode="predict")
    values = model(batch(), mode="loss")
    cross_entropy = torch.nn.functional.cross_entropy
    coarse = 2.0 * cross_entropy(logits.coarse[:3], batch().coarse[:3])
    fine = 0.5 * cross_entropy(logits.fine[[0, 2]], batch().fine[[0, 2]])
    assert torch.allclose(values["loss_coarse"], coarse)
    assert torch.allclose(values["loss_fine"], fine)
    assert [name for name in values if "loss" in name] == ["loss_coarse", "loss_fine"]
    assert {"coarse_top1", "fine_top1", "fine_weight"} < set(values)
    model.set_epoch(10)
    assert torch.allclose(model(batch(), mode="loss")["loss_fine"], fine * 1.5)  # 0.75 / 0.5


def test_batch_without_labels_is_zero_with_a_graph():
    model = pretrainer()
    values = model(batch(coarse=(-1,) * 4, fine=(-1,) * 4), mode="loss")
    total = values["loss_coarse"] + values["loss_fine"]
    total.backward()
    assert total.item() == 0.0
    assert "coarse_top1" not in values and "fine_top1" not in values
    assert all((p.grad == 0).all() for p in model.parameters())


def test_every_parameter_of_the_pretrainer_gets_a_gradient():
    model = pretrainer()
    values = model(batch(), mode="loss")
    (values["loss_coarse"] + values["loss_fine"]).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("channels_last", [False, True])
def test_train_step_takes_a_named_tuple(channels_last):
    """mmengine unpacks tuples into arguments; the batch must arrive as one object."""
    model = pretrainer(channels_last=channels_last).train()
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    torch.manual_seed(0)
    logs = [model.train_step(batch(), optimizer) for _ in range(12)]
    assert logs[0]["loss"] == logs[0]["loss_coarse"] + logs[0]["loss_fine"]
    assert logs[-1]["loss"] < logs[0]["loss"]


def test_channels_last_changes_the_layout_and_not_the_values():
    plain, strided = pretrainer().eval(), pretrainer(channels_last=True).eval()
    weight = strided.network.backbone.net.conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected, got = (m(batch(), mode="predict").coarse for m in (plain, strided))
    # other summation order in float32 through some 20 layers
    assert torch.allclose(expected, got, atol=1e-4)


def test_modes():
    model = pretrainer().eval()
    with torch.no_grad():
        output, logits = model(batch()), model(batch(), mode="predict")
        stepped = model.val_step(batch())
    assert isinstance(stepped, GestureLogits)
    assert torch.equal(output.coarse_logits, logits.coarse)
    assert torch.equal(stepped.fine, logits.fine)
    with pytest.raises(ValueError, match="unknown mode 'train'; possible: 'loss'"):
        model(batch(), mode="train")


def test_normalisation_by_hand():
    spec = InputSpec(32, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0), 32)
    image = torch.tensor([255, 0, 51], dtype=torch.uint8).reshape(1, 3, 1, 1)
    # (1 - 0.5) / 0.5, (0 - 0.25) / 0.25, (0.2 - 0) / 1
    got = ImageNormaliser(spec)(image).flatten()
    assert torch.allclose(got, torch.tensor([1.0, -1.0, 0.2]), atol=1e-7)


def test_images_that_are_not_bytes_are_refused():
    with pytest.raises(TypeError, match="must be uint8 in 0..255, got torch.float32"):
        pretrainer()(batch()._replace(image=torch.zeros(4, 3, SIZE_PX, SIZE_PX)))


def test_wrong_image_size_is_named():
    with pytest.raises(ValueError, match="got 48 x 48"):
        pretrainer()(batch()._replace(image=torch.zeros(4, 3, 48, 48, dtype=torch.uint8)))


def test_label_beyond_the_head_is_named():
    with pytest.raises(ValueError, match=r"labels \[7\] are outside \[0, 3\)"):
        pretrainer()(batch(coarse=(7, 0, 0, 0)), mode="loss")


def test_nan_weights_give_a_nan_loss():
    """The finite check of training can only name what is not hidden here."""
    model = pretrainer()
    with torch.no_grad():
        model.network.heads.coarse.layers[3].weight.fill_(float("nan"))
    assert model(batch(), mode="loss")["loss_coarse"].isnan()


@pytest.mark.parametrize("wrong", [{"label_smoothing": 1.5}, {"coarse_weight": -1.0}])
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Objective(**wrong)


def test_state_dict_holds_the_network_alone():
    assert all(name.startswith("network.") for name in pretrainer().state_dict())
