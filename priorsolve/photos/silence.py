"""Silence for what Pillow and tifffile warn of while they read a photo, on the thread that reads it alone."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

_thread = threading.local()


class _WhereSilent(type):
    """Takes any category of warnings for a kind of its class on a thread that is within `silence`, and none on others."""

    def __subclasscheck__(cls, category: type) -> bool:
        return getattr(_thread, "silent", False)


class _Silenced(Warning, metaclass=_WhereSilent):
    """What the filter is for."""


def _is_heard(record: logging.LogRecord) -> bool:
    """Whether a logger may tell of this."""
    return not getattr(_thread, "silent", False)


_FILTER = ("ignore", None, _Silenced, None, 0)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing that warns within it, on this thread, is heard; other threads' warnings are.

    `warnings.catch_warnings` would not do: filters are shared by all threads, and where two save them and the first puts its own back
    first, what the second saved stays for good. This filter is put before all others, stays there, and does nothing to other threads.
    """
    if _FILTER not in warnings.filters[:1]:
        warnings.simplefilter("ignore", _Silenced)
    logging.getLogger("tifffile").addFilter(_is_heard)  # which it has once, however often it is added
    before = getattr(_thread, "silent", False)
    _thread.silent = True
    try:
        yield
    finally:
        _thread.silent = before
