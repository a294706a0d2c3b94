"""What a command says when it is stopped, at whatever moment that was."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

KEPT = "what is done is kept, run the same command for any that are left"
RESUMABLE = ("restore", "degrade", "masks", "benchmark")
"""Commands that write file after file and go on from there; the others have nothing to keep before they end."""


def stopped(code: int, arguments: Sequence[str]) -> int:
    """Say so on standard error, as is true of the command that the arguments name, and return the exit code.

    Where torch was stopped while it was being imported the process ends here: it can be neither imported again nor taken down, and tells
    of both at length.
    """
    command = next((word for word in arguments if not word.startswith("-")), "")
    if sys.stderr is not None:  # closed by whoever began the command
        sys.stderr.write(f"priorsolve: stopped{f'; {KEPT}' if command in RESUMABLE else ''}\n")
        sys.stderr.flush()
    if _half_imported("torch"):
        os._exit(code)
    return code


def _half_imported(package: str) -> bool:
    whole = sys.modules.get(package)
    if whole is None:  # what failed to be imported is forgotten, but not its parts
        return any(name.startswith(f"{package}.") for name in sys.modules)
    return bool(getattr(whole.__spec__, "_initializing", False))
