"""Settings; as in the published code, importing them extends the path."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "common"))


class Config:
    resnet_type = 50
    lr = 1e-4


cfg = Config()
