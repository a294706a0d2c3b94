"""How the process keeps memory. For the command line: a library does not change its host."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX, ARENA_MAX = -1, -2, -4, -8
"""glibc's names for mallopt, from malloc.h."""


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the next step wants the same again; does nothing elsewhere.

    Large activations are otherwise given back to the system and zeroed anew at every step, which took half of a step's time
    or more (docs/performance.md).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 2**26), (ARENA_MAX, 1)):
            mallopt(option, value)
