"""Settings of the double, changed in place by its entries."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "common"))


class Config:
    resnet_type = 50
    lr = 1e-4
    batch_size = 2
    steps_per_epoch = 2
    start_epoch, end_epoch = 0, 1
    continue_train = False
    model_dir = ROOT / "output" / "model_dump"

    def set_args(self, gpu_ids, continue_train=False):
        self.gpu_ids, self.continue_train = gpu_ids, continue_train
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_ids


cfg = Config()
