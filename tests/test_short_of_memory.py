"""A run whose memory is short after the search, where what was measured is put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import run_support as run
import torch

from priorsolve.cluster.worker import Worker
from priorsolve.consistency import put_back_within
from priorsolve.photos.names import find_photos
from priorsolve.run import answers
from priorsolve.run.restoration import Options, restore

pytestmark = pytest.mark.usefixtures("digiface64")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures were to be put back at once, each time: more than two do not fit."""
    real, asked = put_back_within, list[int]()

    def short(x: torch.Tensor, *given: Any, **settings: Any) -> torch.Tensor:
        asked.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(x, *given, **settings)

    monkeypatch.setattr(answers, "put_back_within", short)
    return asked


@pytest.mark.parametrize("by", ["one process", "a worker"])
def test_batches_are_halved_and_stay_so(tmp_path: Path, asked: list[int], by: str) -> None:
    recipe, options = run.quick(operator={"downsample": {"factor": 4}}), Options(degrade=True, batch_size=4)
    photos, out = run.photos(tmp_path / "in", 8), tmp_path / "out"
    if by == "a worker":
        worker = Worker(recipe, out, options, torch.get_num_threads())
        worker.prepare()
        records = worker.do(find_photos([photos]))
    else:
        records = list(restore(recipe, photos, out, options))
    assert [record.status for record in records] == ["done"] * 8
    assert asked[0] == 4
    assert asked[1:] == [2] * 4, "the second batch is not tried at the size that was too large"
