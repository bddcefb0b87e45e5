"""What a device can do at most, by its name: dense matrix products, from the makers' data sheets.

bf16 stands for half precision with float32 sums; "fp32" is without TF32, torch's default for
matrix products.
"""

import torch

# The longest name that is part of the device's counts.
PEAK_TFLOPS = {
    "H200": {"bf16": 989.0, "fp32": 67.0},
    "H100": {"bf16": 989.0, "fp32": 67.0},
    "H100 PCIe": {"bf16": 756.0, "fp32": 51.0},
    "H100 NVL": {"bf16": 835.0, "fp32": 60.0},
    "A100": {"bf16": 312.0, "fp32": 19.5},
    "A40": {"bf16": 149.7, "fp32": 37.4},
    "A10": {"bf16": 125.0, "fp32": 31.2},
    "L40S": {"bf16": 362.0, "fp32": 91.6},
    "L40": {"bf16": 181.0, "fp32": 90.5},
    "L4": {"bf16": 121.0, "fp32": 30.3},
    "V100": {"bf16": 125.0, "fp32": 15.7},
    "T4": {"bf16": 65.0, "fp32": 8.1},
}


def peak_tflops(device_name: str, precision: str) -> float | None:
    """TFLOP/s of a device, None where its name or the precision is not in the table.

    Args:
        device_name: as `torch.cuda.get_device_name` gives it.
        precision: "bf16", "fp16" or "fp32".
    """
    words = device_name.replace("-", " ").split()
    fitting = [name for name in PEAK_TFLOPS if _contains(words, name.split())]
    if not fitting:
        return None
    kind = "bf16" if precision == "fp16" else precision
    return PEAK_TFLOPS[max(fitting, key=len)].get(kind)


def device_name(device: torch.device) -> str:
    """Name of a CUDA device; "CPU" for a CPU, whose peak depends on too much for a table."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _contains(words: list[str], part: list[str]) -> bool:
    return any(words[i : i + len(part)] == part for i in range(len(words)))
