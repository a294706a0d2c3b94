"""On what a run computes, and in what: the devices and types that `--device` and `--dtype` name."""

from __future__ import annotations

from typing import Any

import torch

from priorsolve.onednn import has_onednn, multiplies_bfloat16
from priorsolve.priors import Prior

DTYPES = {"auto": torch.float32, "float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""The dtype of codes, measurements and losses for each `--dtype`; with bfloat16 only the network computes in it."""


def must_name_device(name: str) -> None:
    """Raises ValueError for what is no device's name, whatever there is: that may be on another machine."""
    try:
        torch.device("cpu" if name == "auto" else name)
    except RuntimeError:
        raise ValueError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:1") from None


def device_called(name: str) -> torch.device:
    """`auto` is a GPU where there is one, else the CPU. Raises ValueError for a device that is unknown or not there."""
    must_name_device(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r}: this machine has no usable CUDA GPU; use device cpu (--device cpu)")
    try:
        torch.zeros(1, device=device).item()  # not to be had from `meta`, which has no numbers
    except Exception as error:  # noqa: BLE001 (each back end has errors of its own)
        why = str(error).splitlines()[0].partition(". ")[0]
        raise ValueError(f"device {name!r} cannot be used: {why}; use auto, cpu or cuda") from None
    return device


def dtype_of(name: str, prior: Prior) -> str:
    """The name of a dtype, `auto` made definite: what the network computes in while codes are searched.

    That is bfloat16 where the processor is quicker in it and it was measured to pay with such a prior, else float32: by what the machine
    can and the prior is, so that it is the same every time.

    Raises ValueError for bfloat16 where the processor has no arithmetic for it.
    """
    device = next(prior.parameters()).device
    if name == "bfloat16" and device.type == "cpu" and has_onednn() and not multiplies_bfloat16():
        raise ValueError(
            "dtype 'bfloat16': this processor has no arithmetic for it, so a search would take many times as long; use --dtype float32"
        )
    if name != "auto":
        return name
    return "bfloat16" if prior.halves and has_quick_bfloat16(device) else "float32"


def has_quick_bfloat16(device: torch.device) -> bool:
    """Whether the device is a CPU whose products are quicker in bfloat16. GPUs were not measured.

    AVX512_BF16 makes them so on AMD's. Intel's have half as many units for its instruction as for float32's, and products take longer;
    there only AMX is quicker.
    """
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch
    intel = str(capabilities.get("cpu_name", "")).startswith("Intel")
    return device.type == "cpu" and bool(capabilities.get("amx_bf16" if intel else "avx512_bf16"))
