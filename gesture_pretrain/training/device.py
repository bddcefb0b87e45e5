"""Device and process group of a run: one process on CPU or CUDA, or several under torchrun."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist


def choose_device(name: str = "auto") -> torch.device:
    """The device to train on.

    Args:
        name: "auto" (CUDA where present, else CPU), "cpu", "cuda" or "cuda:<index>".

    Raises:
        ValueError: CUDA was asked for and is not there, or the name is unknown.
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


def _require_cuda(device: torch.device) -> None:
    if not torch.cuda.is_available():
        raise ValueError(
            f"Device '{device}' was asked for, but this PyTorch sees no CUDA device. Use "
            "--device cpu, or install a CUDA build of torch and a driver that it can use."
        )
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise ValueError(
            f"Device '{device}' was asked for, but there are {torch.cuda.device_count()} CUDA "
            "devices, numbered from 0."
        )


def launched_by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))


def join_process_group(device: torch.device, *, timeout_s: float = 600.0) -> None:
    """Joins the group that torchrun describes in the environment: NCCL for CUDA, gloo for CPU.

    A process that waits longer than `timeout_s` for the others gives up. mmengine's own launcher
    takes CUDA for granted; it accepts a group that exists already.
    """
    if dist.is_initialized():
        return
    # mmengine sets it so as well, but warns; torchrun sets the OMP one only.
    os.environ.setdefault("MKL_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", timeout=timedelta(seconds=timeout_s)
    )


def start_process(name: str, *, threads: int | None, timeout_s: float) -> torch.device:
    """The device of this process; joins the group of processes where torchrun started it.

    Args:
        name: see `choose_device`.
        threads: CPU threads of torch; None leaves torch's choice.
        timeout_s: see `join_process_group`.
    """
    device = choose_device(name)
    if threads is not None:
        torch.set_num_threads(threads)
    if launched_by_torchrun():
        join_process_group(device, timeout_s=timeout_s)
    return device


def rank_and_world_size() -> tuple[int, int]:
    """(rank, number of processes); (0, 1) without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The element-wise sum of `values` over all processes; `values` itself for one process."""
    if rank_and_world_size()[1] > 1:
        dist.all_reduce(values)
    return values
