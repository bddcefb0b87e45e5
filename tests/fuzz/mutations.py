"""Damaged copies of a file, as disks, downloads and editors leave them; seeded."""

import copy
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ODD_VALUES = (
    None, True, -1, 0, 1, 1e30, -1e-30, 1e999, float("nan"), 2**31, 10**40, "", "x", "../../x",
    "/etc/passwd", [], {}, [[]], [1], {"a": 1}, "NaN", 0.5,
)  # fmt: skip
ODD_TEXTS = (b"NaN", b"1e999", b"-1", b"0", b"1e30", b'"x"', b"null", b"[]", b"9" * 5000, b"\xff")


class Payload:
    """An object whose unpickling creates a file, as hostile weights would run a command."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return open, (str(self.canary), "w")


def mutated(
    content: bytes, rng: np.random.Generator, *, is_json: bool = False, canary: Path | None = None
) -> bytes:
    """One damaged copy, or, with a canary, sometimes a hostile file that would create it."""
    if canary is not None and rng.integers(12) == 0:
        return _hostile(Payload(canary), rng)
    ways: list[Callable] = [_flip, _cut, _drop, _repeat, _overwrite, _insert]
    if is_json:
        ways += [_odd_value] * 8 + [_odd_text] * 2 + [_nested]
    return ways[rng.integers(len(ways))](content, rng)


def _hostile(payload: Payload, rng: np.random.Generator) -> bytes:
    """A pickle, or a file of torch or numpy that holds one."""
    kind, stream = rng.integers(4), io.BytesIO()
    if kind == 0:
        torch.save({"state_dict": payload}, stream)
    elif kind == 1:
        np.savez(stream, row=np.array([payload], object))
    elif kind == 2:
        np.save(stream, np.array([payload], object), allow_pickle=True)
    else:
        return pickle.dumps(payload, protocol=int(rng.integers(6)))
    return stream.getvalue()


def _place(content: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(max(1, len(content))))


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        changed[_place(content, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: _place(content, rng)]


def _drop(content: bytes, rng: np.random.Generator) -> bytes:
    start = _place(content, rng)
    return content[:start] + content[start + int(rng.integers(1, 64)) :]


def _repeat(content: bytes, rng: np.random.Generator) -> bytes:
    start = _place(content, rng)
    return content[:start] + content[start : start + int(rng.integers(1, 64))] + content[start:]


def _overwrite(content: bytes, rng: np.random.Generator) -> bytes:
    start, noise = _place(content, rng), rng.bytes(int(rng.integers(1, 32)))
    return content[:start] + noise + content[start + len(noise) :]


def _insert(content: bytes, rng: np.random.Generator) -> bytes:
    start = _place(content, rng)
    return content[:start] + rng.bytes(int(rng.integers(1, 16))) + content[start:]


def _odd_text(content: bytes, rng: np.random.Generator) -> bytes:
    numbers = [i for i, byte in enumerate(content) if 48 <= byte <= 57]
    start = end = numbers[rng.integers(len(numbers))] if numbers else 0
    while end < len(content) and content[end] in b"0123456789.eE+-":
        end += 1
    return content[:start] + ODD_TEXTS[rng.integers(len(ODD_TEXTS))] + content[end:]


def _nested(content: bytes, rng: np.random.Generator) -> bytes:
    start = content.find(b":") + 1
    return content[:start] + b"[" * 100_000 + content[start:]


def _odd_value(content: bytes, rng: np.random.Generator) -> bytes:
    """Another value, a missing key or an unknown key somewhere in a JSON document."""
    document = copy.deepcopy(json.loads(content))
    node, steps = document, int(rng.integers(1, 7))
    for _ in range(steps):
        if not isinstance(node, dict | list) or not node:
            return _flip(content, rng)
        keys = list(node) if isinstance(node, dict) else range(len(node))
        key = keys[int(rng.integers(len(keys)))]
        deeper = node[key]
        if not isinstance(deeper, dict | list) or not deeper or _ == steps - 1:
            break
        node = deeper
    choice = rng.integers(8)
    if choice == 0:
        del node[key]
    elif choice == 1 and isinstance(node, dict):
        node["colour"] = 1
    elif choice == 2 and isinstance(node, list):
        node.append(node[key])
    else:
        node[key] = ODD_VALUES[rng.integers(len(ODD_VALUES))]
    return json.dumps(document).encode()
