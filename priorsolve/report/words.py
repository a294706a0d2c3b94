"""Metrics and numbers as the report says them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from priorsolve.run.records import Record


def metric_names(records: Iterable[Record]) -> list[str]:
    """Of all their metrics, in the order met."""
    return list(dict.fromkeys(name for record in records for name in record.metrics))


def value(name: str, number: float) -> str:
    """A metric's value: `27.3 dB` for psnr, three decimals for the others."""
    if not math.isfinite(number):
        return {math.inf: "∞", -math.inf: "−∞"}.get(number, "not a number")
    return f"{number:.1f} dB" if name == "psnr" else f"{number:.3f}"


def duration(seconds: float) -> str:
    """`4 s`, `3 min 20 s`, `5 h 7 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
