"""Every tensor is accounted for when a backbone goes into a target; the rest is refused."""

import json

import pytest
import torch
from torch import nn
from toy_target import TOY, Toy, ToyPose

from adapters.swap.projection import fit_backbone
from adapters.swap.swap import build_swapped
from adapters.targets import BackboneNeeds, SwapError
from gesture_pretrain.models.gesture_network import GestureNetwork

NARROW = BackboneNeeds(channels=64, stride=32)


def swap(network, **options):
    return build_swapped(
        TOY, network, backbone_name="hrnet_w16_tiny.x", seed=0, hand_models={}, **options
    )


def test_every_tensor_arrives(backbone):
    model, ledger = swap(backbone)
    assert model.backbone is backbone
    assert set(ledger.backbone.matched) == {f"net.{n}" for n in backbone.net.state_dict()}
    assert ledger.own.fresh == ("head.weight", "head.bias")
    assert ledger.is_complete
    assert ledger.before_swap == ledger.after_swap


def test_fractions_add_up(backbone):
    model, ledger = swap(backbone)
    state = model.state_dict().values()
    rows = ledger.counts()
    assert sum(row["numbers"] for row in rows) == sum(v.numel() for v in state)
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-12)


def test_gesture_heads_that_the_target_does_not_read_are_dropped_by_name(gesture_network):
    _, ledger = swap(gesture_network)
    heads = gesture_network.heads.state_dict()
    assert set(ledger.backbone.dropped_by_name) == {f"heads.{n}" for n in heads}
    assert ledger.is_complete


def test_gesture_heads_that_the_target_reads_are_matched(gesture_network):
    def build(network, **_):
        model = ToyPose(network.backbone, nn.Identity())
        model.guide = network
        return model

    target = Toy(build, BackboneNeeds())
    model, ledger = build_swapped(
        target, gesture_network, backbone_name="x.y", seed=0, hand_models={}
    )
    assert isinstance(model.guide, GestureNetwork)
    assert not ledger.backbone.dropped_by_name
    assert any(name.startswith("heads.coarse") for name in ledger.backbone.matched)
    parts = {row["part"]: row["numbers"] for row in ledger.counts()}
    assert parts["heads"] == sum(p.numel() for p in gesture_network.heads.parameters())
    assert ledger.own.fresh == ("head.weight", "head.bias")  # no alias counted as the target's


def test_heads_that_the_target_makes_itself_are_fresh(gesture_network):
    def build(backbone, **_):
        model = ToyPose(backbone, nn.Identity())
        model.guide = gesture_network.heads
        return model

    target = Toy(build, BackboneNeeds())
    _, ledger = build_swapped(
        target, gesture_network.backbone, backbone_name="x.y", seed=0, hand_models={}
    )
    assert "guide.coarse.layers.0.weight" in ledger.own.fresh
    assert ledger.is_complete


def test_other_channels_need_a_projection_that_is_allowed(backbone):
    with pytest.raises(SwapError, match=r"reads 64 channels, .*'final' of hrnet_w16_tiny has 512"):
        swap(backbone, needs=NARROW)


def test_an_allowed_projection_is_named(backbone):
    _, ledger = swap(backbone, needs=NARROW, allow_projection=True)
    assert ledger.projections == {"projection": "1x1 projection, 512 to 64 channels"}
    assert "declared: 1x1 projection, 512 to 64 channels" in ledger.table()
    notes = {e.name: e.note for e in ledger.own.entries}
    assert notes["projection.conv.weight"] == "declared 1x1 projection"
    row = next(row for row in ledger.counts() if row["part"] == "projection")
    assert row["numbers"] == 512 * 64 + 64


def test_a_projection_is_not_put_in_where_the_channels_fit(backbone):
    _, ledger = swap(backbone, allow_projection=True)
    assert ledger.projections == {}


def test_a_projection_that_nobody_allowed_is_refused(backbone):
    def sneak_in(model):
        model.projection = fit_backbone(model.backbone, NARROW, target="toy", allow_projection=True)

    with pytest.raises(SwapError, match="none was allowed"):
        swap(backbone, spoil=sneak_in)


def test_another_stride_is_refused(backbone):
    with pytest.raises(SwapError, match="reads a map at stride 16, .* has stride 32"):
        swap(backbone, needs=BackboneNeeds(channels=512, stride=16))


def lose(net):
    del net.conv1.weight
    net.conv1.weight = None


def reshape(net):
    net.conv1 = nn.Conv2d(3, 8, 3, bias=False)


def add(net):
    net.extra = nn.Linear(2, 2)


def initialise_again(net):
    nn.init.normal_(net.conv2.weight)


def change_one_bit(net):
    mean = net.bn1.running_mean
    mean[0] = torch.nextafter(mean[0], torch.tensor(1.0))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lose, r"unexpected: net\.conv1\.weight"),
        (reshape, r"wrong_shape: net\.conv1\.weight \(file \(16, 3, 3, 3\), network \(8,"),
        (add, r"missing: net\.extra\.weight"),
        (initialise_again, r"changed on the way: net\.conv2\.weight"),
        (change_one_bit, r"changed on the way: net\.bn1\.running_mean"),
    ],
)
def test_a_tensor_that_did_not_arrive_as_it_was_is_refused(backbone, spoil, problem):
    with pytest.raises(SwapError, match=problem):
        swap(backbone, spoil=lambda model: spoil(model.backbone.net))


def test_a_model_without_our_backbone_is_refused(backbone):
    def replace(model):
        model.backbone = nn.Identity()

    with pytest.raises(SwapError, match="no Backbone .* Identity"):
        swap(backbone, spoil=replace)


def test_the_ledger_is_stored_as_json(backbone, tmp_path):
    _, ledger = swap(backbone)
    stored = json.loads(ledger.save(tmp_path / "run").read_text())
    assert stored["complete"] is True
    assert stored["fingerprints"]["before_swap"] == stored["fingerprints"]["after_swap"]
    assert stored["fingerprints"]["after_first_step"] is None
    assert len(stored["backbone"]["matched"]) == len(backbone.net.state_dict())
    assert {entry["name"] for entry in stored["own"]["fresh"]} == {"head.weight", "head.bias"}
