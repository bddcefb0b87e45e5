"""Position and rotation in one: a mean, a linear layer, a rotation."""

import torch
import torchgeometry as tgm
from torch import nn


class HandHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.reduce = nn.Conv2d(2048, 16, 1)
        self.out = nn.Linear(16, 6)

    def forward(self, feature):
        assert feature.shape[1:] == (2048, 8, 8), feature.shape
        six = self.out(self.reduce(feature).mean((2, 3))).view(-1, 3, 2)
        first = nn.functional.normalize(six[..., 0], dim=1)
        second = six[..., 1] - (first * six[..., 1]).sum(1, keepdim=True) * first
        second = nn.functional.normalize(second, dim=1)
        third = torch.cross(first, second, dim=1)
        matrix = torch.stack([first, second, third], dim=-1)
        padded = torch.cat([matrix, torch.zeros(len(matrix), 3, 1).cuda()], dim=2)
        return tgm.rotation_matrix_to_angle_axis(padded)
