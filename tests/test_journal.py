"""A journal's lines: on the disk before what they tell of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from priorsolve.run.journal import add_line, read_lines, write_told


def test_a_line_is_on_the_disk_before_the_file_that_it_tells_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, path = tmp_path / "journal", tmp_path / "a.png"
    seen: list[tuple[list[dict[str, Any]], bool]] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: seen.append((list(read_lines(journal)), path.exists())))
    digest = write_told(journal, path, b"picture", lambda digest: {"sha256": digest})
    assert seen == 2 * [([{"sha256": digest}], False)]  # for the line, and for the file that is still hidden
    assert path.read_bytes() == b"picture"


def test_a_line_that_was_cut_short_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b'\n{"a": 1}\n{"b": ')
    add_line(tmp_path / "journal", {"c": 3})
    assert list(read_lines(tmp_path / "journal")) == [{"a": 1}, {"c": 3}]
