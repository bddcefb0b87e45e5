"""The device of a process."""

import os

import torch

from gesture_pretrain.processes import join_process_group, launched_by_torchrun


def choose_device(name: str = "auto") -> torch.device:
    """Choose the device of this process.

    Args:
        name: "auto" (CUDA where available, else the CPU), "cpu", "cuda" or "cuda:<index>".

    Raises:
        ValueError: CUDA is requested but not available, or the name is unknown.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"Unknown device '{name}'. Possible: auto, cpu, cuda, cuda:0 …") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"Device '{name}' is not supported. Possible: auto, cpu, cuda, cuda:0 …")
    if device.type == "cuda":
        _require_cuda(device)
        if device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return device


def use_device(name: str = "auto") -> torch.device:
    """Choose the device of this process and make it the current one, see `choose_device`.

    Events, streams and page-locked memory belong to the current device, which else is cuda:0.
    """
    device = choose_device(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def start_process(name: str, *, threads: int | None, timeout_s: float) -> torch.device:
    """Choose the device, make it the current one, and join the other processes if there are any.

    Args:
        name: See `choose_device`.
        threads: CPU threads of torch; None leaves torch's choice.
        timeout_s: See `join_process_group`.
    """
    device = use_device(name)
    if threads is not None:
        torch.set_num_threads(threads)
    if launched_by_torchrun():
        join_process_group(device, timeout_s=timeout_s)
    return device


def _require_cuda(device: torch.device) -> None:
    if not torch.cuda.is_available():
        raise ValueError(
            f"Device '{device}' was requested, but this PyTorch sees no CUDA device. Use "
            "device 'cpu', or install a CUDA build of torch and a suitable driver."
        )
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise ValueError(
            f"Device '{device}' was requested, but there are {torch.cuda.device_count()} CUDA "
            "devices, numbered from 0."
        )
