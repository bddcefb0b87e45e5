"""Heads and network."""

import pytest
import torch
from torch import nn

from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import GestureHead, build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork


def test_head_has_the_layers_of_the_authors_fork():
    layers = GestureHead(2048, 54).layers
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert (layers[0].in_features, layers[0].out_features) == (2048, 1024)
    assert layers[2].p == 0.5
    assert layers[3].out_features == 54


def test_hidden_and_dropout_are_arguments():
    heads = build_gesture_heads(16, num_coarse=3, num_fine=5, hidden=8, dropout=0.0)
    coarse, fine = heads(torch.randn(2, 16))
    assert coarse.shape == (2, 3) and fine.shape == (2, 5)
    assert heads.coarse.layers[0].out_features == 8


def test_head_without_classes_is_refused():
    with pytest.raises(ValueError, match="num_classes=0"):
        GestureHead(16, 0)


def test_network_gives_features_and_logits():
    backbone = build_backbone("hrnet_w16_tiny", size_px=32)
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=3, num_fine=5)
    network = GestureNetwork(backbone, heads).eval()
    with torch.no_grad():
        output = network(torch.zeros(2, 3, 32, 32))
    assert output.coarse_logits.shape == (2, 3) and output.fine_logits.shape == (2, 5)
    assert torch.equal(output.coarse_logits, heads.coarse(output.features.pooled))


def test_head_of_another_width_is_refused():
    backbone = build_backbone("hrnet_w16_tiny", size_px=32)
    with pytest.raises(ValueError, match="2048 channels, but hrnet_w16_tiny has 512"):
        GestureNetwork(backbone, build_gesture_heads(2048, num_coarse=3, num_fine=5))
