"""What a benchmark ran on, in one line."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def describe() -> str:
    """The cores, torch and its threads, and Python."""
    return f"{_cpu()}, torch {torch.__version__}, {torch.get_num_threads()} threads, Python {platform.python_version()}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} × {names[0]}" if names else platform.processor() or platform.machine()
