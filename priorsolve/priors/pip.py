"""Downloads by the user's own pip, with the settings that it has for the user's network."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from priorsolve.priors.cache import DownloadError, no_space

_POLL_SECONDS = 0.1


def run_pip(
    arguments: list[str],
    folder: Path,
    what: str,
    by_hand: str,
    settings: Mapping[str, str] | None = None,
    on_wait: Callable[[], object] = lambda: None,
) -> tuple[bool, str]:
    """Run `pip download` for `what` with its temporary files in `folder`/scratch, so that they can be counted and leave nothing behind.

    `settings` are environment variables beside the user's own, `by_hand` is the way out without pip, `on_wait` is called while pip runs.
    Gives whether pip was content, and its last words. Raises DownloadError without pip, CacheError when the disk is full.
    """
    scratch, log = folder / "scratch", folder / "log"
    scratch.mkdir()
    command = [sys.executable or "python", "-m", "pip", "download", "--no-deps", "--no-input", "--progress-bar=off", *arguments]
    own = {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = {**os.environ, **own, **(settings or {})}
    with log.open("wb") as output:
        try:
            # an empty working folder, so that nothing named pip lies there
            process = subprocess.Popen(command, cwd=scratch, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        except OSError as error:
            raise DownloadError(f"{what}: cannot run {command[0]} ({error.strerror}); use an installed Python, {by_hand}") from None
        try:
            while _running(process):
                on_wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    said = log.read_text(encoding="utf-8", errors="replace")
    if process.returncode and "No module named pip" in said:
        raise DownloadError(
            f"{what}: this Python ({command[0]}) has no pip to download with; "
            f"install it with 'python -m ensurepip' or 'uv pip install pip', {by_hand}"
        )
    if process.returncode and ("No space left on device" in said or "Errno 28" in said):
        no_space(folder.parent)
    return process.returncode == 0, _last_line(said)


def _running(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process still runs, a moment later."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_POLL_SECONDS)
    return process.poll() is None


def _last_line(said: str) -> str:
    """pip's last error, or its last words, without any password from an address."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR:").strip()
    return re.sub(r"//[^/@\s]*@", "//", last)[:300]
