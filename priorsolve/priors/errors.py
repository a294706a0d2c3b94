"""What can be wrong with a checkpoint, under one name."""

import pickle
import struct
from collections.abc import Iterable


class CheckpointError(ValueError):
    """A checkpoint that is not used: one line with the file or tensor, what is wrong, and the way out."""


FAILURES = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError, RuntimeError),
    *(TypeError, ValueError, Warning, pickle.PickleError, struct.error),
)
"""Whatever a damaged or hostile file can raise in a reader; a file is no reason for a traceback."""


BIG_ENDIAN = "was written on a big-endian machine; load and save it again on a little-endian one"

_LONGEST = 1000


def in_one_line(words: object) -> str:
    """An error's words in one line that a terminal may show, whatever names a file put into them.

    Their middle is cut where they are long: what is wrong and the way out stand at the ends.
    """
    line = " ".join(str(words).split())
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def first_names(state: Iterable[str]) -> str:
    """The names of the first tensors, as an error tells what a file holds."""
    return ", ".join([*state][:5]) or "(none)"


def told(value: object) -> str:
    """A value out of a file as an error names it: words, numbers and short rows of them, anything else by its kind.

    Never the repr of a container: a list that holds another twice, and that one a third twice, writes for ever.
    """
    if isinstance(value, str):
        return repr(value[:40])
    if type(value) is int and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, (tuple, list)) and len(value) <= 8 and not any(isinstance(item, (tuple, list, dict)) for item in value):
        inside = ", ".join(map(told, value))
        return f"({inside}{',' * (len(value) == 1)})" if isinstance(value, tuple) else f"[{inside}]"
    return str(value) if value is None or isinstance(value, (bool, int, float)) else f"a {type(value).__name__}"
