"""Entry: python test.py --gpu 0 --test_epoch 0."""

import argparse

import torch
from config import cfg

parser = argparse.ArgumentParser()
parser.add_argument("--gpu", required=True)
parser.add_argument("--test_epoch", type=int, required=True)

if __name__ == "__main__":
    options = parser.parse_args()
    cfg.set_args(options.gpu)
    from base import Tester, make_batch

    tester = Tester()
    tester.load(options.test_epoch)
    with torch.no_grad():
        inputs, targets = make_batch(0)
        print("pose", tester.model(inputs, targets, "test")["mano_pose"][0].tolist())
