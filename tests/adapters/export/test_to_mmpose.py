"""Our backbone inside mmpose: a real top-down config trains with it, features bit for bit."""

import importlib.util
import json
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from adapters.export import mmpose_imports
from adapters.export import to_mmpose as mmpose
from adapters.targets import SwapError
from gesture_pretrain.weights.registry import load_backbone

CONFIG = (
    "configs/hand_2d_keypoint/topdown_heatmap/onehand10k/"
    "td-hm_res50_8xb32-210e_onehand10k-256x256.py"
)
BRANCHES = ("stride4", "stride8", "stride16", "stride32")
IMAGE = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def models():
    """mmpose's registry of models, with our backbone in it."""
    pytest.importorskip("mmpose", reason="mmpose is not installed; `make env` brings it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mmpose.register_gesture_backbone(stand_in_ops=True)
    from mmpose.registry import MODELS

    return MODELS


@pytest.fixture(autouse=True)
def scope_of_mmpose():
    """As in a process that mmpose's own tools started; an earlier test's runner has another."""
    with DefaultScope.overwrite_default_scope("mmpose"):
        yield


@pytest.fixture(scope="module")
def hands(tmp_path_factory) -> Path:
    """Four random images with a hand's 21 points each, as OneHand10K stores them."""
    root, random = tmp_path_factory.mktemp("onehand"), np.random.default_rng(0)
    (root / "annotations").mkdir()
    images, annotations = [], []
    for i in range(4):
        cv2.imwrite(str(root / f"{i}.png"), random.integers(0, 256, (96, 96, 3), np.uint8))
        points = np.concatenate([random.uniform(10, 86, (21, 2)), np.full((21, 1), 2)], axis=1)
        images.append({"id": i, "file_name": f"{i}.png", "width": 96, "height": 96})
        annotations.append(
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "bbox": [8.0, 8.0, 80.0, 80.0],
                "area": 6400.0,
                "iscrowd": 0,
                "num_keypoints": 21,
                "keypoints": points.ravel().tolist(),
            }
        )
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 1, "name": "hand"}]
    (root / "annotations/onehand10k_train.json").write_text(json.dumps(content))
    return root


def shrunk(part):
    """A config for crops of 64 px and heatmaps of 16 in place of 256 and 64."""
    if isinstance(part, dict):
        sizes = {"input_size": (64, 64), "heatmap_size": (16, 16)}
        return {key: sizes.get(key, shrunk(value)) for key, value in part.items()}
    return [shrunk(value) for value in part] if isinstance(part, list) else part


@pytest.fixture
def config(models, hands, registered, tmp_path):
    """mmpose's own config with another backbone, and small for a CPU."""
    import mmpose as library
    from mmengine.config import Config

    file = Path(library.__file__).parent / ".mim" / CONFIG
    if not file.is_file():
        pytest.skip("this mmpose came without its configs")
    config = Config(shrunk(Config.fromfile(file).to_dict()))
    config.model.backbone = {"type": "GestureBackbone", "name": registered.name}
    config.model.head.in_channels = 512
    config.model.data_preprocessor = mmpose.data_preprocessor_config(registered.name)
    config.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    config.train_dataloader.dataset.data_root = str(hands)
    config.train_cfg = {"by_epoch": False, "max_iters": 10}
    config.param_scheduler = None
    config.log_processor.by_epoch = False
    config.default_hooks.checkpoint = None
    config.default_hooks.logger.interval = 1
    config.randomness = {"seed": 0}
    for part in ("val", "test"):
        for key in ("_dataloader", "_evaluator", "_cfg"):
            config[part + key] = None
    config.work_dir = str(tmp_path / "run")
    return config


def test_a_real_config_trains_ten_iterations(config, registered, monkeypatch):
    from mmengine.runner import Runner

    monkeypatch.setattr(Runner, "_log_env", lambda *_: None)  # it asks a compiler its version
    # the runner's logger writes to the folder of this test, which later tests no longer have
    monkeypatch.setattr(MMLogger, "_instance_dict", type(MMLogger._instance_dict)())
    runner = Runner.from_cfg(config)
    ours = load_backbone(registered.name)
    estimator = runner.model
    with torch.no_grad():
        theirs = estimator.eval().extract_feat(IMAGE)
        assert torch.equal(theirs[0], ours(IMAGE).levels["final"])
    before = {n: p.clone() for n, p in estimator.backbone.named_parameters()}
    runner.train()
    assert runner.iter == 10
    losses = [line for line in read_log(runner) if "loss" in line]
    assert len(losses) == 10 and all(np.isfinite(line["loss"]) for line in losses)
    unchanged = [n for n, p in estimator.backbone.named_parameters() if torch.equal(p, before[n])]
    assert not unchanged


def read_log(runner):
    file = next(Path(runner.log_dir).glob("vis_data/scalars.json"))
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_initialising_the_model_leaves_the_weights(config, models, registered):
    estimator = models.build(config.model)
    estimator.init_weights()
    expected = load_backbone(registered.name).net.state_dict()
    for name, value in estimator.backbone.backbone.net.state_dict().items():
        assert torch.equal(value, expected[name])


def test_an_outer_init_cfg_that_draws_the_weights_again_is_refused(config, models):
    config.model.init_cfg = {"type": "Normal", "layer": "Conv2d", "std": 0.01}
    estimator = models.build(config.model)
    with pytest.raises(SwapError, match="changed before training, by an init_cfg"):
        estimator.init_weights()


def test_the_preprocessor_gives_what_the_backbone_wants(models, registered):
    from gesture_pretrain.models.image_normaliser import ImageNormaliser

    build = models.build(mmpose.data_preprocessor_config(registered.name))
    rgb = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    theirs = build({"inputs": [rgb.flip(0)], "data_samples": []})["inputs"]
    ours = ImageNormaliser(load_backbone(registered.name).input_spec)(rgb[None])
    # Both compute (value - mean) / std in float32: 2 roundings, of values up to 2.7
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)


@pytest.mark.parametrize("levels", [("final",), BRANCHES, ("low", "high"), ("stride32", "stride4")])
def test_every_level_is_ours_bit_for_bit(models, registered, levels):
    built = models.build({"type": "GestureBackbone", "name": registered.name, "out_levels": levels})
    built.eval()
    ours = load_backbone(registered.name)
    names = [{"low": ours.low, "high": ours.high}.get(level, level) for level in levels]
    with torch.no_grad():
        expected = ours(IMAGE).levels
        for name, theirs in zip(names, built(IMAGE), strict=True):
            assert torch.equal(theirs, expected[name])
    assert built.out_channels == tuple(expected[name].shape[1] for name in names)


def test_without_its_last_map_hrnet_keeps_no_parameter_without_gradient(registered):
    built = mmpose.GestureBackbone(registered.name, out_levels=BRANCHES)
    sum(level.square().mean() for level in built(IMAGE)).backward()
    assert [n for n, p in built.named_parameters() if p.grad is None] == []


def test_a_frozen_backbone_stays_as_it_is(registered):
    built = mmpose.GestureBackbone(registered.name, frozen=True).train()
    before = {n: v.clone() for n, v in built.state_dict().items()}
    built(IMAGE)
    assert not any(p.requires_grad for p in built.parameters())
    assert all(torch.equal(v, before[n]) for n, v in built.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_cfg": {"type": "Normal"}}, "no init_cfg"),
        ({"out_levels": ("stride2",)}, "no level 'stride2'.*stride4"),
        ({"out_levels": "final"}, "sequence of names"),
        ({"out_levels": ()}, "sequence of names"),
    ],
)
def test_impossible_options_are_refused(registered, options, message):
    with pytest.raises(ValueError, match=message):
        mmpose.GestureBackbone(registered.name, **options)


def test_registering_twice_does_no_harm(models):
    assert mmpose.register_gesture_backbone(stand_in_ops=True) is mmpose.GestureBackbone
    assert models.get("GestureBackbone") is mmpose.GestureBackbone


def test_importing_the_adapter_imports_nothing_of_mmpose(monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] in ("mmpose", "mmdet", "mmcv")]:
        monkeypatch.delitem(sys.modules, name)
    spec = importlib.util.spec_from_file_location("adapter_again", mmpose.__file__)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert not {"mmpose", "mmdet", "mmcv"} & set(sys.modules)


@pytest.mark.parametrize("missing", [mmpose_imports.OPS, mmpose_imports.COCO])
def test_stand_ins_are_used_only_when_allowed(monkeypatch, missing):
    monkeypatch.setattr(mmpose_imports, "is_installed", lambda name: name != missing)
    with pytest.raises(ImportError, match=f"{missing}.*stand_in_ops=True"):
        mmpose.register_gesture_backbone()


def test_pycocotools_answers_to_the_other_name(monkeypatch):
    pytest.importorskip("pycocotools", reason="only where xtcocotools does not build")
    for name in ("xtcocotools", "xtcocotools.coco", "xtcocotools.cocoeval", "xtcocotools.mask"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.warns(UserWarning, match="pycocotools"):
        mmpose_imports.put_pycocotools()
    from pycocotools.coco import COCO
    from xtcocotools.coco import COCO as found

    assert found is COCO and mmpose_imports.is_installed("xtcocotools")


def test_a_stand_in_raises_when_it_is_used(monkeypatch):
    mmcv = pytest.importorskip("mmcv", reason="mmcv-lite is not installed; `make env` brings it")
    monkeypatch.delitem(sys.modules, "mmcv.ops", raising=False)
    monkeypatch.setattr(mmcv, "ops", None, raising=False)
    with pytest.warns(UserWarning, match=r"mmcv\.ops is a stand-in"):
        mmpose_imports.put_ops_stand_in()
    from mmcv.ops import DeformConv2d, nms

    with pytest.raises(ImportError, match=r"mmcv\.ops\.nms"):
        nms()
    with pytest.raises(ImportError, match="DeformConv2d"):
        DeformConv2d(3, 3, 1)
    assert issubclass(DeformConv2d, torch.nn.Module)
