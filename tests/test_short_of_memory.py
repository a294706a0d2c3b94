"""A run whose memory is short after the search, where what was measured is put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import run_support as run
import torch

from priorsolve.consistency import put_back
from priorsolve.run import answers
from priorsolve.run.restoration import Options, restore

pytestmark = pytest.mark.usefixtures("digiface64")


def test_batches_are_halved_and_stay_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = put_back, list[int]()

    def short(x: torch.Tensor, *given: Any, **settings: Any) -> torch.Tensor:
        asked.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(x, *given, **settings)

    monkeypatch.setattr(answers, "put_back", short)
    recipe = run.quick(operator={"downsample": {"factor": 4}})
    records = [*restore(recipe, run.photos(tmp_path / "in", 8), tmp_path / "out", Options(degrade=True, batch_size=4))]
    assert [record.status for record in records] == ["done"] * 8
    assert asked[0] == 4
    assert asked[1:] == [2] * 4, "the second batch is not tried at the size that was too large"
