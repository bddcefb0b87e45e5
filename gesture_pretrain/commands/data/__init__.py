"""Commands of `gesture-pretrain data`: render, index, verify or inspect a dataset."""
