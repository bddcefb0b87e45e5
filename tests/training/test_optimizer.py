"""Parameter groups: decay, and learning rates by layer."""

import pytest
import timm
import torch
from mmengine.hooks import Hook
from tiny_run import tiny_sections
from torch import nn

from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.pretraining.sections import check_config
from gesture_pretrain.training.optimizer import build_optimizer, undecayed_names


def network() -> nn.Module:
    net = nn.Module()
    net.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1))
    net.head = nn.Linear(4, 2)
    return net


def described(optimizer) -> list[tuple]:
    return [
        (len(g["params"]), g["weight_decay"], g.get("lr_scale")) for g in optimizer.param_groups
    ]


def test_matrices_are_decayed_and_vectors_are_not():
    assert described(build_optimizer(network(), weight_decay=0.1)) == [
        (3, 0.1, None),
        (5, 0.0, None),
    ]


class Embedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 4, 2))
        self.project = nn.Linear(2, 2, bias=False)

    def no_weight_decay(self):
        return {"position"}


def test_what_a_module_names_is_not_decayed_wherever_it_is():
    net = nn.ModuleDict({"inner": Embedding(), "vit": timm.create_model("test_vit")})
    assert {"inner.position", "vit.pos_embed", "vit.cls_token"} <= undecayed_names(net)
    assert not {"inner.project.weight", "vit.patch_embed.proj.weight"} & undecayed_names(net)
    decayed, plain = build_optimizer(net, weight_decay=0.1).param_groups
    assert any(p is net["inner"].position for p in plain["params"])
    assert any(p is net["inner"].project.weight for p in decayed["params"])


def test_longest_prefix_gives_the_rate_and_every_parameter_is_in_one_group():
    net = network()
    scales = {"backbone.": 0.1, "backbone.2.": 0.5}
    groups = build_optimizer(net, weight_decay=0.1, lr_scales=scales).param_groups
    found = {id(p): (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(found) == sum(len(g["params"]) for g in groups) == 8
    expected = {"backbone.0.weight": (0.1, 0.1), "backbone.1.weight": (0.1, 0.0)}
    expected |= {
        "backbone.2.weight": (0.5, 0.1),
        "head.weight": (1.0, 0.1),
        "head.bias": (1.0, 0.0),
    }
    parameters = dict(net.named_parameters())
    for name, value in expected.items():
        assert found[id(parameters[name])] == value, name


def test_frozen_parameters_are_left_out():
    net = network()
    net.backbone.requires_grad_(False)
    assert described(build_optimizer(net, weight_decay=0.1)) == [(1, 0.1, None), (1, 0.0, None)]


def test_unknown_prefix_and_zero_rate_are_named():
    with pytest.raises(ValueError, match="'bakbone.'.*backbone., head."):
        build_optimizer(network(), lr_scales={"bakbone.": 0.1})
    with pytest.raises(ValueError, match="backbone.frozen"):
        build_optimizer(network(), lr_scales={"backbone.": 0})


class NoteRates(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.rates = {g["lr_scale"]: g["lr"] for g in runner.optim_wrapper.optimizer.param_groups}


def test_schedule_multiplies_each_layers_own_rate(tmp_path, tiny_index):
    note = NoteRates()
    sections = tiny_sections(
        tiny_index,
        optimizer={"lr_scales": {"network.backbone.": 0.25}},
        schedule={"iterations": 2},
        data={"val_split": None},
    )
    build_runner(out=tmp_path, hooks=[note], **sections).train()
    assert note.rates[0.25] == pytest.approx(0.25 * note.rates[1.0]) and note.rates[1.0] > 0


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"weight_decay": -0.1}, {"lr": float("nan")}])
def test_a_negative_rate_is_named_by_its_key(wrong):
    """torch's own message, "Invalid learning rate: -1", told no key of the config."""
    sections = {"data": {"index": "i"}, "backbone": {"arch": "test_resnet"}, "optimizer": wrong}
    with pytest.raises(ValueError, match=rf"optimizer\.{next(iter(wrong))}"):
        check_config(sections)
