"""Entry: python train.py --gpu 0 [--continue]."""

import argparse

from config import cfg

parser = argparse.ArgumentParser()
parser.add_argument("--gpu", required=True)
parser.add_argument("--continue", dest="continue_train", action="store_true")
parser.add_argument("--freeze", action="store_true")

if __name__ == "__main__":
    options = parser.parse_args()
    cfg.set_args(options.gpu, options.continue_train)
    from base import Trainer, make_batch

    trainer = Trainer(options.freeze)
    if cfg.continue_train:
        trainer.resume()
    for epoch in range(cfg.start_epoch, cfg.end_epoch):
        for step in range(cfg.steps_per_epoch):
            inputs, targets = make_batch(step)
            trainer.optimizer.zero_grad()
            loss = {k: v.mean() for k, v in trainer.model(inputs, targets, "train").items()}
            sum(loss.values()).backward()
            trainer.optimizer.step()
            print(f"epoch {epoch} step {step} mano_pose {loss['mano_pose'].item():.4f}")
        trainer.save(epoch)
