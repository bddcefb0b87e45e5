"""Backbones against timm's own forward pass; their shapes, gradients and errors."""

import copy

import pytest
import timm
import torch
from torch import nn

from gesture_pretrain.models import architectures
from gesture_pretrain.models.architectures import ARCHS, add_architecture, hrnet_config
from gesture_pretrain.models.backbone import Backbone, InputSpec, build_backbone

SIZE_PX = 64
FAMILIES = [
    "hrnet_w18_small",
    "resnet18",
    "resnet50",
    "convnext_atto",
    "mobilenetv3_small_100",
    "vit_tiny_patch16_224",
    *sorted(ARCHS),
]


@pytest.fixture(scope="module")
def built():
    """Each backbone is built once."""
    made = {}

    def build(arch: str) -> Backbone:
        if arch not in made:
            made[arch] = build_backbone(arch, size_px=SIZE_PX)
        return copy.deepcopy(made[arch])

    return build


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("arch", FAMILIES)
def test_feature_specs_are_the_real_shapes(built, arch):
    backbone = built(arch).eval()
    with torch.no_grad():
        features = backbone(images())
    assert list(features.levels) == list(backbone.feature_specs)
    for name, spec in backbone.feature_specs.items():
        side = SIZE_PX // spec.stride
        assert features.levels[name].shape == (2, spec.channels, side, side), name
    assert features.pooled.shape == (2, backbone.pooled_channels)
    assert torch.allclose(features.pooled, features.levels[backbone.high].mean((2, 3)), atol=1e-5)


@pytest.mark.parametrize("arch", FAMILIES)
def test_every_parameter_gets_a_gradient(built, arch):
    """Distributed training stops at a parameter without one; MobileNetV3's conv_head was one."""
    backbone = built(arch).train()
    backbone(images()).pooled.square().sum().backward()
    without = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("arch", ["hrnet_w18_small", "resnet18", "resnet50", "convnext_atto"])
def test_final_map_is_bit_for_bit_timms(built, arch):
    backbone = built(arch).eval()
    reference = timm.create_model(arch, num_classes=0).eval()
    reference.load_state_dict(backbone.net.state_dict(), strict=arch != "convnext_atto")
    with torch.no_grad():
        ours = backbone(images()).levels["final"]
        theirs = reference.forward_features(images())
    assert (ours - theirs).abs().max() == 0


def test_hrnet_raw_branches_are_what_timm_feeds_its_head(built):
    """features_only would give 128..1024 channels; the branches have C, 2C, 4C, 8C."""
    backbone = built("hrnet_w18_small").eval()
    net = backbone.net
    seen = []
    net.stage4.register_forward_hook(lambda module, inputs, output: seen.extend(output))
    with torch.no_grad():
        net.forward_features(images())
        branches = list(seen)
        seen.clear()
        levels = backbone(images()).levels
    for branch, name in zip(branches, ("stride4", "stride8", "stride16", "stride32"), strict=True):
        assert torch.equal(branch, levels[name])
    assert len(seen) == 4, "the stages ran more than once"


def test_vit_final_is_the_patch_tokens_in_raster_order(built):
    backbone = built("vit_tiny_patch16_224").eval()
    with torch.no_grad():
        tokens = backbone.net.forward_features(images())[:, 1:]  # the class token goes
        final = backbone(images()).levels["final"]
    side = SIZE_PX // 16
    assert torch.equal(final[:, :, 1, 2], tokens[:, side + 2])


def test_low_and_high_levels(built):
    for arch in ("hrnet_w18_small", "resnet50", "hrnet_w16_tiny"):
        backbone = built(arch)
        assert backbone.feature_specs[backbone.low].stride == 16
        assert backbone.feature_specs[backbone.high].stride == 32
    assert built("resnet50").feature_specs["final"] == (2048, 32)
    assert built("hrnet_w18_small").feature_specs["final"] == (2048, 32)
    assert built("vit_tiny_patch16_224").low == "middle"


def test_parameter_names_are_timms_without_the_classifier(built):
    ours = set(built("hrnet_w18_small").net.state_dict())
    theirs = set(timm.create_model("hrnet_w18_small").state_dict())
    assert theirs - ours == {"classifier.weight", "classifier.bias"}
    assert ours <= theirs


def test_same_seed_same_weights_and_the_global_stream_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = build_backbone("hrnet_w16_tiny", seed=3)
    assert torch.equal(torch.rand(1), expected)
    again, other = (build_backbone("hrnet_w16_tiny", seed=s) for s in (3, 4))
    assert torch.equal(first.net.conv1.weight, again.net.conv1.weight)
    assert not torch.equal(first.net.conv1.weight, other.net.conv1.weight)


def test_input_spec_is_timms_record(built):
    record = timm.get_pretrained_cfg("vit_tiny_patch16_224")
    spec = built("vit_tiny_patch16_224").input_spec
    assert spec == InputSpec(SIZE_PX, record.mean, record.std, 16, fixed_size=True)
    assert built("resnet18").input_spec.multiple_of == 32


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((1, 3, 90, 96), "90 x 96.*64 x 96 and 96 x 96"),
        ((1, 3, 0, 0), "got 0 x 0"),
        ((1, 1, 64, 64), "(1, 1, 64, 64)"),
        ((3, 64, 64), "(3, 64, 64)"),
    ],
)
def test_wrong_input_size_is_named_with_what_is_possible(built, shape, told):
    with pytest.raises(ValueError, match=told.replace("(", r"\(").replace(")", r"\)")):
        built("hrnet_w16_tiny")(torch.zeros(shape))


def test_fixed_size_network_says_its_size(built):
    with pytest.raises(ValueError, match="built for 64 x 64 px; got 96 x 96"):
        built("vit_tiny_patch16_224")(torch.zeros(1, 3, 96, 96))


def test_size_that_no_crop_can_have():
    with pytest.raises(ValueError, match="multiples of 32 px; got size_px=100"):
        build_backbone("resnet18", size_px=100)


def test_one_near_size_is_named_once():
    with pytest.raises(ValueError, match=r"Nearest sizes: 32 x 32\.$"):
        build_backbone("resnet18", size_px=0)


def test_unknown_name_lists_the_near_ones():
    with pytest.raises(ValueError, match="hrnet_w81.*hrnet_w18"):
        build_backbone("hrnet_w81")


def test_network_without_feature_maps():
    with pytest.raises(ValueError, match="Linear has no feature maps.*forward_levels"):
        Backbone(nn.Linear(3, 3), arch="mine", input_spec=InputSpec(64, (0,) * 3, (1,) * 3, 32))


def test_nan_goes_through_and_is_not_hidden(built):
    image = images()
    image[0, 0, 3, 3] = float("nan")
    assert built("hrnet_w16_tiny").eval()(image).pooled[0].isnan().any()


def test_architecture_of_another_package(monkeypatch, built):
    monkeypatch.setattr(architectures, "ARCHS", dict(ARCHS))
    monkeypatch.setattr("gesture_pretrain.models.backbone.ARCHS", architectures.ARCHS)
    add_architecture("my_net", ARCHS["hrnet_w16_tiny"])
    assert build_backbone("my_net", size_px=SIZE_PX).arch == "my_net"
    with pytest.raises(ValueError, match="already exists in timm"):
        add_architecture("resnet18", ARCHS["hrnet_w16_tiny"])
    with pytest.raises(ValueError, match="already exists in gesture_pretrain"):
        add_architecture("my_net", ARCHS["hrnet_w16_tiny"])
    with pytest.raises(ValueError, match="contains a dot"):
        add_architecture("my.net", ARCHS["hrnet_w16_tiny"])


def test_hrnet_config_is_timms_table_for_w18():
    """One function of the width gives timm's nested table."""
    from timm.models.hrnet import cfg_cls

    ours = hrnet_config(18, blocks=4, modules=(1, 4, 3))
    theirs = cfg_cls["hrnet_w18"]
    assert ours["stem_width"] == theirs["stem_width"]
    for stage in ("stage1", "stage2", "stage3", "stage4"):
        assert ours[stage] == theirs[stage], stage


def test_small_hrnet_final_by_hand(built):
    """Each branch averaged over the 32 px cell, concatenated, then the 1x1 convolution."""
    net = built("hrnet_w16_tiny").eval().net
    with torch.no_grad():
        levels = net.forward_levels(images(1))
        cells = []
        for i in range(4):
            branch, cell = levels[f"stride{4 << i}"], 8 >> i
            cells.append(branch[0, :, :cell, cell : 2 * cell].mean((1, 2)))  # cell (0, 1)
        joined = torch.cat(cells)
        weight = net.final_layer[0].weight[:, :, 0, 0]
        # batch norm as built: mean 0, variance 1, eps 1e-5
        expected = torch.relu(weight @ joined / (1 + 1e-5) ** 0.5)
    # float32 sums of 240 products, in another order: 240 * 6e-8 relative to values near 1
    assert torch.allclose(levels["final"][0, :, 0, 1], expected, atol=1e-4)
    assert torch.equal(net.forward_features(images(1)), levels["final"])


def test_tagged_name_is_the_architecture():
    assert build_backbone("resnet18.a1_in1k", size_px=SIZE_PX).arch == "resnet18"
