"""Learning rates by layer: each layer of a network is known, and no parameter is left out."""

import pytest
import torch
from torch import nn

from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.layer_decay import layer_scales
from gesture_pretrain.training.optimizer import build_optimizer

# architecture -> a parameter of the stem, one of the last layer, number of layers
NETWORKS = {
    "resnet18": ("conv1.weight", "layer4.1.conv2.weight", 9),
    "hrnet_w18_small": ("conv1.weight", "final_layer.0.weight", 6),
    "hrnet_w16_tiny": ("bn2.bias", "final_layer.0.weight", 6),
    "test_vit": ("pos_embed", "blocks.5.mlp.fc2.weight", 7),
    "vit_small_patch16_dinov3": ("patch_embed.proj.weight", "norm.weight", 13),
    "test_convnext": ("stem.0.weight", "stages.3.blocks.1.conv_dw.weight", 10),
    "tf_efficientnet_lite0": ("conv_stem.weight", "conv_head.weight", 17),
}


@pytest.mark.parametrize("arch", NETWORKS)
def test_rates_fall_from_the_last_layer_to_the_stem(arch):
    stem, last, count = NETWORKS[arch]
    net = nn.ModuleDict({"backbone": build_backbone(arch, size_px=64), "head": nn.Linear(2, 2)})
    scales = layer_scales(net, 0.5)
    prefix = "backbone.net."
    assert scales[prefix + stem] == 0.5**count and scales[prefix + last] == 0.5
    assert {n for n, _ in net.named_parameters()} - scales.keys() == {"head.weight", "head.bias"}


def test_factors_multiply_the_ones_by_prefix():
    net = nn.ModuleDict({"backbone": build_backbone("test_vit", size_px=64)})
    optimizer = build_optimizer(net, lr_scales={"backbone.": 0.1}, layer_decay=0.5)
    found = {id(p): g["lr_scale"] for g in optimizer.param_groups for p in g["params"]}
    assert found[id(net["backbone"].net.pos_embed)] == pytest.approx(0.1 * 0.5**7)
    assert len(found) == len(list(net.parameters()))


def test_networks_without_layers_are_refused():
    with pytest.raises(ValueError, match="group_matcher"):
        build_optimizer(nn.Linear(1, 1), layer_decay=0.75)


def test_a_decay_of_one_changes_no_step():
    steps = []
    for decay in (None, 1.0):
        net = build_backbone("test_resnet", size_px=32)
        optimizer = build_optimizer(net, layer_decay=decay, fused=False)
        net(torch.ones(2, 3, 32, 32)).pooled.square().sum().backward()
        optimizer.step()
        steps.append(net.net.conv1[0].weight.detach())
    assert torch.equal(*steps)
