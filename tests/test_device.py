"""Which device and which processes; the environment is made up, no GPU is needed."""

import pytest
import torch

from gesture_pretrain import device as module
from gesture_pretrain import processes
from gesture_pretrain.device import choose_device, start_process
from gesture_pretrain.precision import autocast, choose_precision
from gesture_pretrain.processes import launched_by_torchrun

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_STEP_NUM_TASKS")


@pytest.fixture
def environment(monkeypatch):
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def two_gpus(environment):
    """torch as it is with two devices; the devices that are made current."""
    current = []
    environment.setattr(torch.cuda, "is_available", lambda: True)
    environment.setattr(torch.cuda, "device_count", lambda: 2)
    environment.setattr(torch.cuda, "set_device", current.append)
    environment.setattr(module, "join_process_group", lambda *_, **__: None)
    return current


@pytest.mark.parametrize("name", ["cuda:1", "cuda"])
def test_every_cuda_device_is_made_the_current_one(two_gpus, environment, name):
    """Events of a worker on cuda:1 were recorded on cuda:0, and read before they happened."""
    if name == "cuda":
        for key, value in zip(_NAMES, ("1", "2", "1"), strict=False):
            environment.setenv(key, value)
    assert start_process(name, threads=None, timeout_s=1) == torch.device("cuda", 1)
    assert two_gpus == [torch.device("cuda", 1)]


def test_a_device_that_is_not_there_is_named(two_gpus):
    with pytest.raises(ValueError, match="cuda:2.*2 CUDA devices"):
        choose_device("cuda:2")


def test_processes_of_srun_that_do_not_know_of_each_other_are_refused(environment):
    """Each of them trained the whole run into one folder."""
    assert not launched_by_torchrun()
    environment.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert not launched_by_torchrun()
    environment.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(ValueError, match="srun started 4 processes.*torchrun"):
        launched_by_torchrun()
    environment.setenv("RANK", "0")
    environment.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match="without LOCAL_RANK"):
        launched_by_torchrun()
    environment.setenv("LOCAL_RANK", "0")
    assert launched_by_torchrun()


@pytest.mark.parametrize(("backend", "group"), [("nccl", "hosts"), ("gloo", None)])
def test_objects_are_gathered_in_the_memory_of_the_hosts(monkeypatch, backend, group):
    """Over NCCL, gigabytes of predictions would have had to fit into each GPU."""
    used = []
    monkeypatch.setattr(processes, "rank_and_world_size", lambda: (0, 2))
    monkeypatch.setattr(processes.dist, "get_backend", lambda: backend)
    monkeypatch.setattr(processes.dist, "new_group", lambda backend: {"gloo": "hosts"}[backend])
    monkeypatch.setattr(
        processes.dist, "all_gather_object", lambda found, value, group: used.append(group)
    )
    monkeypatch.setattr(processes, "_cpu_groups", {})
    assert processes.gather_objects("mine") == [None, None]
    assert used == [group]


def test_precision_is_resolved_for_the_device():
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == "fp32"
    for name in ("fp16", "fp8"):
        with pytest.raises(ValueError, match=name):
            choose_precision(name, cpu)
    for name, expected in (("auto", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(name, cpu):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
