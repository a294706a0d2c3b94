"""A run's records as a table."""

from __future__ import annotations

import io
from typing import Any

from priorsolve.files import legible
from priorsolve.run.records import Record


def results(records: list[Record]) -> bytes:
    """The records as a Parquet file. Every metric of any record is a column of its own name (`metric_` before it if that is taken)."""
    import pyarrow as arrow  # slow to import, and only a report needs it
    import pyarrow.parquet as parquet

    metrics = sorted({name for record in records for name in record.metrics})
    text, number, whole = arrow.string(), arrow.float64(), arrow.int64()
    table: dict[str, Any] = {
        "name": arrow.array([legible(record.name) for record in records], text),
        "status": arrow.array([record.status for record in records], text),
        "reason": arrow.array([legible(record.reason) for record in records], text),
        "misfit": arrow.array([record.misfit for record in records], number),
        "residual": arrow.array([record.residual for record in records], number),
        "steps": arrow.array([record.steps for record in records], whole),
        "stopped": arrow.array([legible(record.stopped) for record in records], text),
        "seconds": arrow.array([record.seconds for record in records], number),
        # A string: a seed may use all 64 bits, which Parquet readers without unsigned numbers would spoil.
        "seed": arrow.array([None if record.seed is None else str(record.seed) for record in records], text),
        "fingerprint": arrow.array([record.fingerprint for record in records], text),
        "recipe": arrow.array([record.recipe for record in records], text),
        "image": arrow.array([None if record.image is None else legible(record.image) for record in records], text),
        "notes": arrow.array(["; ".join(legible(note) for note in record.notes) for record in records], text),
    }
    for metric in metrics:
        column = legible(f"metric_{metric}" if metric in table else metric)
        table[column] = arrow.array([record.metrics.get(metric) for record in records], number)
    data = io.BytesIO()
    parquet.write_table(arrow.table(table), data)
    return data.getvalue()
