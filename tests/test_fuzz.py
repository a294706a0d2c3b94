from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nvidia_support import nvidia_pickle
from safetensors.torch import save_file
from style_support import style2_state
from torch import Tensor

from priorsolve.priors import load_prior
from priorsolve.priors.saved import save_prior

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")

SECONDS, LOADS = 4.0, 3000


def tiny() -> dict[str, Tensor]:
    """One block of StyleGAN2, 4×4."""
    return {key: value for key, value in style2_state().items() if ".b8." not in key and ".b16." not in key}


def dcgan() -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    state = {"main.0.weight": torch.randn(5, 4, 4, 4, generator=rng), "main.3.weight": torch.randn(4, 3, 4, 4, generator=rng)}
    return state | {f"main.1.{name}": torch.rand(4, generator=rng) for name in ("weight", "bias", "running_mean", "running_var")}


def write_saved(path: Path) -> None:
    save_file(dcgan(), path)
    save_prior(load_prior(path), path)


WRITERS: dict[str, Callable[[Path], object]] = {
    "nvidia, protocol 4": lambda path: path.write_bytes(nvidia_pickle(tiny(), {"synthesis.b4.conv1": {"conv_clamp": 256}})),
    "nvidia, protocol 2": lambda path: path.write_bytes(nvidia_pickle(tiny(), protocol=2)),
    "torch zip": lambda path: torch.save({"g_ema": dcgan(), "args": Namespace(size=4)}, path),
    "torch stream": lambda path: torch.save({"g_ema": dcgan()}, path, _use_new_zipfile_serialization=False),
    "safetensors": write_saved,
}


def test_damaged_files_never_run_hang_crash_or_fill_the_memory(tmp_path: Path) -> None:
    whole, empty = tmp_path / "whole", tmp_path / "empty"
    for folder in (whole, empty):
        folder.mkdir()
    for name, write in WRITERS.items():
        write(whole / name)
    here = Path(__file__).resolve().parent
    files = [str(whole / name) for name in WRITERS]
    process = subprocess.run(
        [sys.executable, "-W", "error", str(here / "fuzz_support.py"), str(SECONDS), str(LOADS), "0", *files],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(here.parent)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    for name, line in zip(WRITERS, process.stdout.splitlines(), strict=True):
        report = json.loads(line)
        assert (name, report["faults"]) == (name, [])
        assert report["refused"] > 100, line
        assert report["slowest"] < 5, line
        assert report["grown_kib"] < 200 << 10, line
    assert list(empty.iterdir()) == [], "a file's code ran"
