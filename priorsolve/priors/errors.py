"""What can be wrong with a checkpoint, under one name."""

import pickle
import struct


class CheckpointError(ValueError):
    """A checkpoint that is not used: one line with the file or tensor, what is wrong, and the way out."""


FAILURES = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError, RuntimeError),
    *(TypeError, ValueError, Warning, pickle.PickleError, struct.error),
)
"""Whatever a damaged or hostile file can raise in a reader; a file is no reason for a traceback."""
