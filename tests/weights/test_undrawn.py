"""Random weights that a file replaces are not drawn; where one is kept, that is known."""

import pytest
import timm
import torch
from torch import nn

from gesture_pretrain.weights.undrawn import UndrawnWeights


@pytest.mark.parametrize("arch", ["hrnet_w18_small", "resnet18", "test_vit", "test_convnext"])
def test_nothing_is_drawn_and_everything_is_in_the_state_dict(arch):
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    with UndrawnWeights() as undrawn:
        net = timm.create_model(arch, num_classes=0)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert undrawn.all_replaced(net)


def test_constants_are_filled_as_usual():
    with UndrawnWeights():
        layer = nn.BatchNorm2d(3)
        layer.weight.data.mul_(2)
    assert layer.weight.tolist() == [2, 2, 2] and layer.running_var.tolist() == [1, 1, 1]


class KeptOutside(nn.Module):
    """Its noise is drawn once and is in no state dict."""

    def __init__(self, where: str):
        super().__init__()
        noise = torch.empty(4).normal_()
        if where == "attribute":
            self.noise = noise
        elif where == "buffer":
            self.register_buffer("noise", noise, persistent=False)
        else:
            self.noise = nn.Parameter(noise / noise.norm())


@pytest.mark.parametrize("where", ["attribute", "buffer", "derived"])
def test_a_weight_that_is_not_replaced_is_noticed(where):
    with UndrawnWeights() as undrawn:
        module = KeptOutside(where)
    assert not undrawn.all_replaced(module)
