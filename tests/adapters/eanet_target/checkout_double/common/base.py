"""Trainer and tester: data parallel, Adam from a list of modules, snapshots, non-strict loading."""

import re

import torch
from config import cfg
from model import get_model
from torch.nn.parallel.data_parallel import DataParallel


def snapshots():
    found = [(int(re.findall(r"\d+", p.name)[0]), p) for p in cfg.model_dir.glob("snapshot_*")]
    return sorted(found)


def make_batch(step):
    generator = torch.Generator().manual_seed(step)
    image = torch.rand(cfg.batch_size, 3, 256, 256, generator=generator)
    pose = torch.rand(cfg.batch_size, 3, generator=generator)
    return {"img": image.cuda()}, {"mano_pose": pose.cuda()}


class Trainer:
    def __init__(self, freeze):
        self.model = DataParallel(get_model("train")).cuda()
        for parameter in self.model.module.hand_backbone.parameters():
            parameter.requires_grad_(not freeze)
        modules = self.model.module.trainable_modules
        self.optimizer = torch.optim.Adam(
            [{"params": list(module.parameters()), "lr": cfg.lr} for module in modules]
        )
        self.model.train()

    def resume(self):
        epoch, path = snapshots()[-1]
        self.model.load_state_dict(torch.load(path)["network"], strict=False)
        cfg.start_epoch, cfg.end_epoch = epoch + 1, epoch + 2

    def save(self, epoch):
        network = {k: v for k, v in self.model.state_dict().items() if "mano_layer" not in k}
        cfg.model_dir.mkdir(parents=True, exist_ok=True)
        content = {"epoch": epoch, "network": network, "optimizer": self.optimizer.state_dict()}
        torch.save(content, str(cfg.model_dir / f"snapshot_{epoch}.pth.tar"))


class Tester:
    def __init__(self):
        self.model = DataParallel(get_model("test")).cuda()

    def load(self, epoch):
        path = cfg.model_dir / f"snapshot_{epoch}.pth.tar"
        self.model.load_state_dict(torch.load(path)["network"], strict=False)
        self.model.eval()
