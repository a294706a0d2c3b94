"""Ctrl-C: once finishes the batch at work and stops, twice stops at once. So does SIGTERM, which schedulers send before they kill."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class Stopping:
    """Asked whether to stop, says what the user wants: `with Stopping(tell) as stop: run.records(stop=stop)`.

    `tell` is called with a line at the first signal. `exit_code` is 128 and the signal's number, as shells have it, or None.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell, self._before = tell, dict[int, Any]()
        self.exit_code: int | None = None

    def __call__(self) -> bool:
        return self.exit_code is not None

    def __enter__(self) -> Stopping:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # a background job that is deaf to it stays so
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, _: FrameType | None) -> None:
        if self.exit_code is not None:
            raise KeyboardInterrupt
        self.exit_code = 128 + number
        # on a thread: the signal may have come in the middle of a line
        threading.Thread(target=self._tell, args=("finishing the batch at work; once more stops at once",)).start()
