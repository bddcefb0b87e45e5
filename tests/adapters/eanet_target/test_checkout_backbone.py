"""Our backbone in a double of EANet's checkout: built, trained, saved and loaded there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from adapters.eanet import checkout_backbone as module
from adapters.eanet import eanet_checkout_backbone
from adapters.swap.next_step import NextStepCheck
from adapters.targets import SwapError
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork

DOUBLE = Path(__file__).parent / "checkout_double"
LINES = [line.strip() for line in module.__doc__.splitlines() if line.startswith("    ")]


@pytest.fixture(scope="module")
def backbone():
    return build_backbone("hrnet_w16_tiny", size_px=256, seed=5)


@pytest.fixture
def network(backbone):
    heads = build_gesture_heads(512, num_coarse=3, num_fine=4, hidden=8)
    return GestureNetwork(backbone, heads)


@pytest.fixture
def small(backbone):
    return eanet_checkout_backbone(backbone, allow_projection=True)


def test_the_documented_lines_put_it_into_a_checkout(registered, tmp_path, repo_root):
    """In a process of its own, in the checkout's folders and with its own training script."""
    root = Path(shutil.copytree(DOUBLE, tmp_path / "checkout"))
    swap, build = LINES
    build = build.partition("  #")[0].replace(
        '"resnet50.gesture"', f'"{registered.name}", allow_projection=True'
    )
    path = root / "main" / "model.py"
    text = path.read_text().replace("from torch import nn\n", f"from torch import nn\n{swap}\n")
    path.write_text(text.replace("hand_backbone = ResNetBackbone(cfg.resnet_type)", build))
    paths = os.pathsep.join([str(repo_root), str(repo_root / "third_party")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=root / "main",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "declared 1x1 projection" in done.stdout
    assert done.stdout.count("First step of Adam: all") == 1
    network = torch.load(root / "snapshot_0.pth.tar", weights_only=True)["network"]
    assert "module.hand_backbone.conv1.weight" in network
    assert "module.hand_backbone.backbone_projection.conv.weight" in network


def test_names_in_snapshots_are_the_backbones_own(small, backbone):
    parallel = nn.DataParallel(nn.ModuleDict({"hand_backbone": small}))
    state = parallel.state_dict()
    expected = [f"module.hand_backbone.{name}" for name in backbone.net.state_dict()]
    assert [name for name in state if "projection" not in name] == expected
    changed = {name: value + 1 for name, value in state.items()}
    assert not any(parallel.load_state_dict(changed, strict=True))
    for name, value in parallel.state_dict().items():
        torch.testing.assert_close(value, changed[name], rtol=0, atol=0)


def test_a_snapshot_of_another_backbone_is_refused_without_strict_too(small):
    model = nn.ModuleDict({"hand_backbone": small})
    state = model.state_dict()
    del state["hand_backbone.conv1.weight"]
    with pytest.raises(SwapError, match=r"lacks 1 of .* hand_backbone.conv1.weight"):
        model.load_state_dict(state, strict=False)
    with pytest.raises(SwapError, match="lacks"):
        model.load_state_dict({"hand_backbone.fc.weight": torch.zeros(1)}, strict=False)


def test_every_tensor_is_accounted_for(network, capsys):
    built = eanet_checkout_backbone(network, allow_projection=True)
    ledger = built.ledger
    assert set(ledger.matched) == set(network.backbone.net.state_dict())
    assert {name.partition(".")[0] for name in ledger.fresh} == {"backbone_projection"}
    assert len(ledger.dropped_by_name) == 8 and ledger.table() in capsys.readouterr().out


def test_the_map_is_what_the_checkout_expects(small, backbone, network):
    image = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        assert small.eval()(image).shape == (1, 2048, 8, 8)
        plain = eanet_checkout_backbone(backbone, layout="author_fork", allow_projection=True)
        assert plain.eval()(image).shape == (1, 2048, 8, 8)
    with pytest.raises(ValueError, match="stage"):
        small(image, stage="early")


def test_the_forks_triple_has_the_logits_of_our_heads(monkeypatch):
    monkeypatch.setattr(module, "NEEDS", module.BackboneNeeds(channels=512, stride=32))
    network = GestureNetwork(
        build_backbone("hrnet_w16_tiny", size_px=64),
        build_gesture_heads(512, num_coarse=3, num_fine=4, hidden=8),
    ).eval()
    fork = eanet_checkout_backbone(network, layout="author_fork", gesture_logits="logits")
    image = torch.rand(2, 3, 64, 64)
    spec = network.backbone.input_spec
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
    _, main, sub = fork(image)
    expected = network((image - mean) / std)
    torch.testing.assert_close(main, expected.coarse_logits)
    torch.testing.assert_close(sub, expected.fine_logits)
    names = list(fork.state_dict())
    assert names[0] == "feature_encoder.conv1.weight" and set(names) == set(fork.ledger.matched)
    assert {"main_classifier.0.weight", "sub_classifier.3.bias"} <= set(names)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, SwapError),
        ({"layout": "fork", "allow_projection": True}, ValueError),
        ({"gesture_logits": "logits", "allow_projection": True}, ValueError),
        ({"gesture_logits": "both", "layout": "author_fork"}, ValueError),
        (
            {"layout": "author_fork", "gesture_logits": "logits", "allow_projection": True},
            SwapError,
        ),
    ],
)
def test_what_does_not_fit_is_refused(network, options, error):
    with pytest.raises(error, match="2048|layout|logits"):
        eanet_checkout_backbone(network, **options)


def step(slot, parameters, loss) -> None:
    check, optimizer = NextStepCheck(slot, target="it"), torch.optim.SGD(parameters, lr=0.1)
    try:
        loss.backward()
        optimizer.step()
    finally:
        check.cancel()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("frozen", "2 of 2 backbone parameters are frozen"),
        ("outside", "2 of 2 backbone parameters are not in the optimiser"),
        ("detached", "2 of 2 backbone parameters got no gradient"),
        ("infinite", "gradient that is not finite"),
    ],
)
def test_a_backbone_that_would_not_train_is_refused(fault, message):
    slot, head = nn.Linear(2, 2).requires_grad_(fault != "frozen"), nn.Linear(2, 1)
    both = [*([] if fault == "outside" else slot.parameters()), *head.parameters()]
    feature = slot(torch.full((1, 2), torch.inf if fault == "infinite" else 1.0))
    loss = head(feature.detach() if fault == "detached" else feature).sum()
    with pytest.raises(SwapError, match=message):
        step(slot, both, loss)


def test_only_the_first_step_is_checked(capsys):
    slot = nn.Linear(2, 1)
    step(slot, slot.parameters(), slot(torch.ones(1, 2)).sum())
    torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1).step()
    assert capsys.readouterr().out.count("First step of SGD: all 2 parameters") == 1
