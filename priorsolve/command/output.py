"""What commands write to standard output and standard error, which may be files on a disk that is full."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import typer

_OURS = Path(__file__).parents[1]


@contextlib.contextmanager
def to_output() -> Iterator[None]:
    """For writing to standard output within it: an OSError names that, as those of other files name theirs."""
    try:
        yield
    except OSError as error:
        # a BrokenPipeError stays one: Python makes it of the number
        raise OSError(error.errno, error.strerror, "standard output") from error


def emit(text: str) -> None:
    """A line on standard output, at once. Raises OSError, which names it, where it takes none."""
    with to_output():
        typer.echo(text)


def refused(error: OSError) -> object:
    """Which file, and why; as it is where there is no file to it."""
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error


@contextlib.contextmanager
def losing_lines() -> Iterator[None]:
    """Within it a line that standard error does not take is lost, and costs no photo. Raises BrokenPipeError where its reader has gone."""
    stream = sys.stderr
    if stream is None:  # closed by whoever began the command
        yield
        return
    lossy: Any = _Lossy(stream)
    sys.stderr = lossy
    try:
        yield
    finally:
        sys.stderr = stream
        try:
            stream.flush()
        except OSError:  # Python would try again at its end, and make an exit code of its own of it
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def warning_plainly() -> Iterator[None]:
    """Within it what priorsolve warns of is one line, as all else that a command says, without the line of code that warned."""
    before = warnings.showwarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
    ) -> None:
        if not Path(filename).is_relative_to(_OURS):
            before(message, category, filename, lineno, file, line)
            return
        from priorsolve.command.console import say

        say(f"warning: {message}")

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


class _Lossy:
    """The stream, without what it does not take."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _lost():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with _lost():
            self._stream.flush()


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass
