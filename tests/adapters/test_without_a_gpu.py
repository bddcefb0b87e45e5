"""What a machine without a GPU can prove about one: no copies, no waiting, no half coordinates.

Networks, device-side transforms and metrics run on fake CUDA tensors, which compute nothing but
refuse mixed devices and reading a value, from the batch as it leaves the loader. Backward and CUDA
autocast cannot be tried that way; bfloat16 is compared on the CPU.
"""

import copy

import numpy as np
import pytest
import torch
from fake_device import fake_cuda
from pose_run import write_pose_index

from adapters.pose.data import PoseDataSection, build_pose_data
from adapters.pose.model import HandPrediction
from adapters.targets import find_pose_target
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.precision import autocast
from gesture_pretrain.pretraining.accuracy import GestureAccuracy
from gesture_pretrain.pretraining.data import build_gesture_data
from gesture_pretrain.pretraining.data_section import GestureDataSection
from gesture_pretrain.pretraining.model import GesturePretrainer

SIZE_PX, BATCH = 64, 4
DATA = {"batch_size": BATCH, "workers": 0, "val_split": None}
MODELS = ("stage_1", "token_fusion", "eanet")


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_pose_index(tmp_path_factory.mktemp("pose"))


def build(name: str, index) -> tuple:
    """A tiny model and a batch of its loader."""
    torch.manual_seed(0)
    backbone = build_backbone("test_resnet", size_px=SIZE_PX)
    if name == "stage_1":
        section = GestureDataSection(index=index, **DATA)
        data = build_gesture_data(section, size_px=SIZE_PX, seed=0)
        heads = build_gesture_heads(
            backbone.pooled_channels,
            num_coarse=data.taxonomy.num_coarse,
            num_fine=data.taxonomy.num_fine,
        )
        return GesturePretrainer(GestureNetwork(backbone, heads)), next(iter(data.train))
    target = find_pose_target(name)
    options = target.options("tiny") | ({"guidance": "none"} if name == "token_fusion" else {})
    hands = {side: load_hand_model(side, path="open") for side in ("right", "left")}
    data = build_pose_data(
        PoseDataSection(index=index, **DATA),
        build_dataset=target.dataset_for(**options),
        size_px=SIZE_PX,
        seed=0,
        hand_models=hands,
    )
    model = target.build_model(backbone, seed=0, hand_models=hands, **options)
    return model, next(iter(data.train))


def assert_on_cuda(values) -> None:
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    assert tensors and all(value.device.type == "cuda" for value in tensors)


def run_on_fake_cuda(model, batch, mode: str):
    with fake_cuda() as device:
        model, batch = device.module(model), device.values(batch)
        with device.on():
            return model.eval()(batch, mode=mode)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("mode", ["loss", "predict", "count"])
def test_no_network_waits_for_the_device(index, name, mode):
    result = run_on_fake_cuda(*build(name, index), mode)
    if mode == "loss":
        logged = {"fine_weight"}  # a number of the schedule, which the host logs
        assert_on_cuda([value for key, value in result.items() if key not in logged])
    elif mode == "predict":
        assert_on_cuda(result)


@pytest.mark.parametrize(
    "fault",
    [
        lambda x: x.cpu(),
        lambda x: x * x.sum().item(),
        lambda x: x * torch.ones(1),
        lambda x: x + torch.tensor([0.0], device=x.device),
        lambda x: x if bool((x > 0).any()) else x,
    ],
    ids=["cpu", "item", "cpu constant", "copied constant", "bool"],
)
def test_a_fault_that_is_put_back_is_seen(index, fault):
    model, batch = build("token_fusion", index)
    normalise = model.normalise.forward
    model.normalise.forward = lambda image: fault(normalise(image))
    with pytest.raises(Exception):  # noqa: B017 - torch has one kind for each fault
        run_on_fake_cuda(model, batch, "predict")


def test_accuracy_stays_on_the_device_until_it_is_asked_for(index):
    model, batch = build("stage_1", index)
    accuracy = GestureAccuracy()
    with fake_cuda() as device:
        model, batch = device.module(model), device.values(batch)
        with device.on():
            accuracy.add(model.eval()(batch, mode="predict"), batch)
    assert_on_cuda(accuracy.batches)


# bfloat16 has 8 bits. Of the losses, sums over many entries, 5 % is ten roundings in a row; a
# coordinate may move by the rounding of the features in front of the float32 heads, a fiftieth of
# the hand's size.
@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_is_float32_up_to_its_rounding(index, name):
    model, batch = build(name, index)
    model.eval()
    found = {}
    for precision in ("fp32", "bf16"):
        with autocast(precision, torch.device("cpu")), torch.no_grad():
            found[precision] = [copy.copy(model(batch, mode=mode)) for mode in ("loss", "predict")]
    (loss, predicted), (loss_bf16, predicted_bf16) = found["fp32"], found["bf16"]
    assert set(loss) == set(loss_bf16)
    for key in (key for key in loss if "loss" in key):
        assert loss_bf16[key].dtype in (torch.float32, torch.float64), key
        assert float(loss_bf16[key]) == pytest.approx(float(loss[key]), rel=0.05, abs=0.02), key
    if isinstance(predicted, HandPrediction):
        assert all(value.dtype != torch.bfloat16 for value in predicted_bf16)
        apart = (predicted_bf16.joints_rel_mm - predicted.joints_rel_mm).norm(dim=-1).mean()
        assert float(apart) < 0.02 * float(np.ptp(predicted.joints_rel_mm.numpy(), axis=1).max())
