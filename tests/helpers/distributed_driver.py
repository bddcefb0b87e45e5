"""Trains the tiny runs, Stage 1 with and without options beyond the paper, and token fusion.

Without batch-norm updates and dropout.

    python distributed_driver.py INDEX FOLDER

Under torchrun with any number of processes; FOLDER gets the runs `gesture`, `beyond_paper`,
`distilled` and `pose`, each with `scores.json` of the validation before training, `pose` with
`predictions.npz` of that moment; and in a single process also `gesture_reversed` and so on, whose
images are reversed within each batch, which changes nothing but the order in which sums are
rounded.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook
from tiny_run import SIZE_PX, tiny_sections

from adapters.pose.prediction import predict_split
from adapters.pose.training import build_pose_runner
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.pretraining.accuracy import GestureAccuracy
from gesture_pretrain.pretraining.beyond_paper.contrast import hierarchical_contrast
from gesture_pretrain.pretraining.beyond_paper.equivariance import equivariance_loss
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.processes import gather_objects, rank_and_world_size
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.export import export_backbone

STEPS = 50
TRAINING = {"ema_decay": 0.9, "log_every": 1, "threads": 1, "validate_every": STEPS}
COMMON = {
    "optimizer": {"lr": 2e-4},
    "schedule": {"iterations": STEPS, "warmup_iterations": 5},
    "device": "cpu",
    "progress": False,
}


class ReverseBatch(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        reverse(data_batch)


def reverse(values) -> None:
    if isinstance(values, torch.Tensor):
        values.copy_(values.flip(0))
    elif isinstance(values, tuple):
        for part in values:
            reverse(part)


def unequal_labels(dataset) -> None:
    """Takes the labels of some samples, so that the parts of a batch have unequal counts."""
    for labels in (dataset.coarse, dataset.fine):
        labels[::3] = -1


@torch.no_grad()
def write_scores(model, validation, evaluator, out: Path) -> None:
    for batch in validation:
        evaluator.add(model.eval().val_step(batch), batch)
    scores = evaluator.compute()
    if rank_and_world_size()[0] == 0:
        out.mkdir(parents=True, exist_ok=True)
        (out / "scores.json").write_text(json.dumps(scores))


BEYOND_PAPER = {
    "projector": {"hidden": 16, "channels": 8, "head_hidden": 16, "head_dropout": 0.0},
    "crops": {"local": 1, "local_size_px": SIZE_PX},
    "contrast": {"hidden": 16, "channels": 8, "anchors_at_once": 5},
    "equivariance": {"hidden": 16, "vectors": 4},
    "dense": {"hidden": 16},
}


def train_beyond_paper(index: Path, out: Path, *, hooks=()) -> None:
    train_gesture(index, out, hooks=hooks, beyond_paper=BEYOND_PAPER)


def train_gesture(
    index: Path, out: Path, *, hooks=(), distillation=None, beyond_paper=None, **training
) -> None:
    sections = tiny_sections(
        index,
        **COMMON,
        distillation=distillation,
        backbone={"arch": "test_efficientnet_gn"},
        heads={"dropout": 0.0},
        beyond_paper=beyond_paper or {},
        training={**TRAINING, **training},
    )
    runner = build_runner(out=out, hooks=hooks, **sections)
    unequal_labels(runner.data.train.dataset)
    write_scores(runner.weight_average.module, runner.data.validation, GestureAccuracy(), out)
    runner.train()


def train_distilled(index: Path, out: Path, *, hooks=()) -> None:
    """The gesture run with a teacher of random weights; each process writes its own copy."""
    taxonomy = Taxonomy.load("interhand26m")
    backbone = build_backbone("test_resnet", size_px=SIZE_PX)
    torch.manual_seed(0)
    heads = build_gesture_heads(
        backbone.pooled_channels, num_coarse=taxonomy.num_coarse, num_fine=taxonomy.num_fine
    )
    folder = out.with_name(f"{out.name}_teacher") / str(os.getpid())
    stored = export_backbone(
        GestureNetwork(backbone, heads), tag="teacher", taxonomy=taxonomy, out=folder
    )
    teacher = {"teacher": str(stored.path), "level": 0.5}
    train_gesture(index, out, hooks=hooks, distillation=teacher)


def train_pose(index: Path, out: Path, *, hooks=(), **training) -> None:
    run = build_pose_runner(
        out=out,
        target="token_fusion",
        data={"index": str(index), "batch_size": 8, "workers": 0},
        backbone={"arch": "test_resnet", "size_px": SIZE_PX},
        model={"size": "tiny", "guidance": "none", "cells": 4, "depth_cells": 4},
        hand_model={"path": "open", "tip_convention": "smplx"},
        training={**TRAINING, "freeze_bn": True, **training},
        hooks=hooks,
        **COMMON,
    )
    write_scores(run.model, run.data.validation, run.runner.val_loop.evaluator, out)
    validation = run.data.validation.dataset
    predictions = predict_split(
        run.model, validation, system="toy", batch_size=3, progress=False, shared=True
    )
    if rank_and_world_size()[0] == 0:
        predictions.save(out / "predictions.npz")
    run.train()


def write_loss_gradients(out: Path) -> None:
    """Losses of eight samples beyond the paper, and the gradients as averaged over processes."""
    rank, world_size = rank_and_world_size()
    stream = torch.Generator().manual_seed(4)
    rows, cells = (
        torch.randn(8, *shape, dtype=torch.float64, generator=stream) for shape in ((5,), (4, 4, 4))
    )
    maps = torch.tensor([[0.9, -0.3, 9], [0.3, 0.9, -9]], dtype=torch.float64).repeat(8, 1, 1)
    maps[:, 0, 2] += 6 * torch.arange(8)  # the crops share fewer and fewer cells
    labels = {"moment": torch.arange(8) // 2, "fine": torch.tensor([0, 1, -1, 0, 0, 1, 2, 2])}
    rows, cells, maps = (values.chunk(world_size)[rank] for values in (rows, cells, maps))
    rows, cells = rows.clone().requires_grad_(), cells.clone().requires_grad_()
    contrast = hierarchical_contrast(
        torch.nn.functional.normalize(rows, dim=1),
        {name: values.chunk(world_size)[rank] for name, values in labels.items()},
        anchors_at_once=3,
    )
    moved = equivariance_loss(cells, cells.flip(1), maps, size_px=64, temperature=0.5)
    losses = torch.stack([*contrast.values(), moved])
    losses.sum().backward()
    written = {
        "losses": np.mean(gather_objects(losses.detach().numpy()), axis=0),
        "rows": np.concatenate(gather_objects(rows.grad.numpy())) / world_size,
        "cells": np.concatenate(gather_objects(cells.grad.numpy())) / world_size,
    }
    if rank == 0:
        np.savez(out / "gradients.npz", **written)


def main(index: Path, folder: Path) -> None:
    tasks = {
        "gesture": train_gesture,
        "beyond_paper": train_beyond_paper,
        "distilled": train_distilled,
        "pose": train_pose,
    }
    for name, train in tasks.items():
        train(index, folder / name)
        if rank_and_world_size()[1] == 1:
            train(index, folder / f"{name}_reversed", hooks=[ReverseBatch()])
    write_loss_gradients(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
