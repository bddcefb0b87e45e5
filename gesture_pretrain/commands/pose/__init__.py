"""Commands of `gesture-pretrain pose`."""
