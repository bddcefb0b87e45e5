"""Entry: two steps of data-parallel training, a snapshot, and its non-strict loading."""

import torch
from config import ROOT, cfg
from model import get_model
from torch.nn import DataParallel

model = DataParallel(get_model("train"))
groups = [{"params": [*module.parameters()]} for module in model.module.trainable_modules]
optimizer = torch.optim.Adam(groups, lr=cfg.lr)
for _step in range(2):
    optimizer.zero_grad()
    model(torch.rand(2, 3, 256, 256)).square().mean().backward()
    optimizer.step()
path = ROOT / "snapshot_0.pth.tar"
torch.save({"epoch": 0, "network": model.state_dict()}, path)
tester = DataParallel(get_model("test"))
tester.load_state_dict(torch.load(path)["network"], strict=False)
