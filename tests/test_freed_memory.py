"""Memory that was freed and is kept for the next step."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import pytest

from priorsolve.memory import keep_freed_memory


def test_freed_memory_is_kept_by_glibcs_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX and M_ARENA_MAX of malloc.h: never trimmed, 64 MiB at a time, never mapped, one arena."""
    told: dict[int, int] = {}
    for platform, mallopt in (("darwin", told.__setitem__), ("linux", None), ("linux", told.__setitem__)):
        assert not told
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setattr(ctypes, "CDLL", lambda name, mallopt=mallopt: SimpleNamespace(**({"mallopt": mallopt} if mallopt else {})))
        keep_freed_memory()
    assert told == {-1: 2**31 - 1, -2: 64 << 20, -4: 0, -8: 1}
