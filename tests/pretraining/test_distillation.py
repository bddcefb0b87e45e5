"""Distillation: values and gradients by hand, the frozen teacher, and what is refused."""

import copy
import math

import pytest
import torch
from mmengine.hooks import Hook
from tiny_run import tiny_sections

from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.pretraining.distillation import (
    Distillation,
    build_distillation,
    feature_loss,
    soft_target_loss,
)
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.pretraining.stage import pretrain
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.training.checkpoint import load_newest_checkpoint
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.registry import find_backbone

LOSSES = ("coarse_logits", "fine_logits", "pooled", "level")
CPU = torch.device("cpu")
CLASSES = Taxonomy.from_index_labels(["a", "b", "c"])


def test_soft_targets_by_hand():
    student = torch.zeros(1, 2, requires_grad=True)
    loss = soft_target_loss(student, torch.tensor([[2 * math.log(3), 0.0]]), 2.0)
    loss.backward()  # at temperature 2: teacher (3/4, 1/4), student (1/2, 1/2)
    assert loss.item() == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)))
    assert student.grad[0].tolist() == pytest.approx([-0.5, 0.5])  # T * (student - teacher)


def test_features_by_hand():
    predicted = torch.zeros(1, 2, requires_grad=True)
    loss = feature_loss(predicted, torch.tensor([[1.0, 3.0]]))  # normalised: (-1, 1)
    loss.backward()
    assert loss.item() == pytest.approx(1.0, abs=1e-4)
    assert predicted.grad[0].tolist() == pytest.approx([1.0, -1.0], abs=1e-4)


def network(arch, taxonomy):
    backbone = build_backbone(arch, size_px=32, seed=5)
    torch.manual_seed(3)
    counts = {"num_coarse": taxonomy.num_coarse, "num_fine": taxonomy.num_fine}
    heads = build_gesture_heads(backbone.pooled_channels, hidden=8, **counts)
    return GestureNetwork(backbone, heads)


def export(folder, taxonomy=CLASSES, *, arch="test_resnet", heads=True):
    teacher = network(arch, taxonomy)
    if not heads:
        teacher, taxonomy = teacher.backbone, None
    return export_backbone(teacher, tag="teacher", taxonomy=taxonomy, out=folder).path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export(tmp_path_factory.mktemp("teacher"))


def build(student, folder, **weights):
    return build_distillation(student, CLASSES, CPU, teacher=str(folder), **weights)


def distilled(folder):
    """A student and the distillation of the teacher into it."""
    student = network("hrnet_w16_tiny", CLASSES)
    torch.manual_seed(1)
    return student, build(student.backbone, folder, level=1.0)


def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 32, 32), generator=generator).to(torch.uint8)


def losses(student, distillation, image):
    return distillation(image, student(image / 255))


def test_the_teacher_is_frozen_and_no_part_of_the_state(folder):
    student, distillation = distilled(folder)
    distillation.train()
    values = losses(student.train(), distillation, images())
    assert list(values) == [f"loss_distilled_{name}" for name in LOSSES]
    sum(values.values()).backward()
    teacher = distillation.teacher
    assert not teacher.network.training
    assert all(p.grad is None for p in teacher.network.parameters())
    assert all(p.grad is not None for p in distillation.parameters())
    assert set(distillation.state_dict()) == {
        *(f"to_{part}.{kind}" for part in ("pooled", "level") for kind in ("weight", "bias")),
        "teacher_sha256",
    }
    assert copy.deepcopy(distillation).teacher is teacher


def test_a_student_with_the_teachers_weights_has_no_loss_of_logits(folder):
    teacher = distilled(folder)[1].teacher
    values = Distillation(teacher.backbone, teacher)(images(), teacher(images()))
    assert values["loss_distilled_coarse_logits"].item() == pytest.approx(0.0, abs=1e-6)
    assert values["loss_distilled_pooled"].item() > 0.1  # the projection is random


def test_two_processes_average_to_the_loss_of_the_whole_batch(folder):
    """Every process has as many images, so the mean over processes is that over images."""
    student, distillation = distilled(folder)
    student.eval()
    whole = images()
    halves = whole[:2], whole[2:]
    parts = [losses(student, distillation, half) for half in halves]
    for name, value in losses(student, distillation, whole).items():
        mean = sum(part[name].item() for part in parts) / 2
        assert mean == pytest.approx(value.item(), rel=1e-5)


def test_bf16_is_close_to_fp32(folder):
    student, distillation = distilled(folder)
    student.eval()
    exact = losses(student, distillation, images())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = losses(student, distillation, images())
    for name, value in exact.items():
        assert rounded[name].dtype == torch.float32
        assert rounded[name].item() == pytest.approx(value.item(), rel=0.05, abs=0.01)


def test_another_teacher_is_refused_on_resumption(folder, tmp_path):
    _, distillation = distilled(folder)
    _, other = distilled(export(tmp_path, arch="hrnet_w16_tiny"))
    state = distillation.state_dict() | {"teacher_sha256": other.teacher_sha256}
    with pytest.raises(ValueError, match="same teacher"):
        distillation.load_state_dict(state)
    distillation.load_state_dict(distillation.state_dict())


def test_a_teacher_needs_heads_of_the_same_classes_for_its_logits(tmp_path):
    student = build_backbone("hrnet_w16_tiny", size_px=32)
    other = Taxonomy.from_index_labels(["a", "b"])
    for number, source in enumerate(({"taxonomy": other}, {"heads": False})):
        folder = export(tmp_path / str(number), **source)
        with pytest.raises(ValueError, match="logits"):
            build(student, folder)
        assert build(student, folder, logits=0.0).to_pooled is not None


def test_levels_of_other_strides_are_refused(folder):
    student = build_backbone("vit_small_patch14_dinov2", size_px=28)
    with pytest.raises(ValueError, match="stride 14"):
        build(student, folder, level=1.0)


def test_weights_that_leave_nothing_are_refused(folder):
    with pytest.raises(ValueError, match="all 0"):
        build(build_backbone("hrnet_w16_tiny", size_px=32), folder, logits=0.0, pooled=0.0)


class StopAt(Hook):
    """Ends the run as a power cut would, after the checkpoint of an iteration."""

    priority = "LOWEST"

    def __init__(self, iteration):
        self.iteration = iteration

    def after_step(self, runner):
        if runner.iter == self.iteration:
            raise KeyboardInterrupt


def test_a_resumed_run_is_the_uninterrupted_one(tiny_index, tmp_path):
    classes = Taxonomy.load("interhand26m")
    sections = tiny_sections(
        tiny_index,
        distillation={"teacher": str(export(tmp_path / "teacher", classes)), "level": 0.5},
        training={"ema_decay": 0.9, "checkpoint_every": 1},
        schedule={"iterations": 6},
    )
    build_runner(out=tmp_path / "whole", **sections).train()
    with pytest.raises(KeyboardInterrupt):
        build_runner(out=tmp_path / "cut", hooks=[StopAt(3)], **sections).train()
    build_runner(out=tmp_path / "cut", resume=True, **sections).train()
    whole, cut = (
        load_newest_checkpoint(tmp_path / name / "checkpoints").state["model"]
        for name in ("whole", "cut")
    )
    assert "distillation.to_level.weight" in whole and not any("teacher." in n for n in whole)
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_the_card_names_the_teacher_and_its_labels(tiny_index, tmp_path):
    classes = Taxonomy.load("interhand26m")
    sections = tiny_sections(
        tiny_index,
        distillation={"teacher": str(export(tmp_path / "teacher", classes)), "pooled": 0.0},
        schedule={"iterations": 2, "warmup_iterations": 1},
    )
    config = {k: v for k, v in sections.items() if k not in ("device", "progress")}
    options = {"device": "cpu", "progress": False}
    stored = pretrain(config, out=tmp_path / "run", export_to=tmp_path / "weights", **options)
    teacher = find_backbone(stored.weights).record.data.details["teacher"]
    assert teacher["name"] == "test_resnet.teacher" and teacher["label_variant"] == "gesture"
    assert teacher["taxonomy"] == classes.name and len(teacher["sha256"]) == 2
    assert "test_resnet.teacher" in (stored.weights / "README.md").read_text()


def test_all_full_crops_are_distilled(tiny_index, tmp_path):
    """With several crops, the loss is that of the student's output for each full crop."""
    classes = Taxonomy.load("interhand26m")
    sections = tiny_sections(
        tiny_index,
        distillation={"teacher": str(export(tmp_path / "teacher", classes))},
        beyond_paper={"crops": {"full": 2, "local": 1, "local_size_px": 32}},
        heads={"dropout": 0.0},
    )
    runner = build_runner(out=tmp_path / "run", **sections)
    sample = next(iter(runner.data.train))
    model = runner.model.eval()
    found = model(sample, mode="loss")["loss_distilled_pooled"]
    images = torch.cat([sample.image, sample.full_images[:, 0]])
    expected = model.distillation(images, model.network(model.normalise(images)))
    assert torch.allclose(found, expected["loss_distilled_pooled"])
