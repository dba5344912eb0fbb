"""A thread that does something at once and then every hour, until it is closed."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("compose_runner.serve")

EVERY_SECONDS = 3600.0


class Cleaner:
    """Cleans up from time to time.

    Parameters
    ----------
    clean : callable
        What is done; an error of it is logged, and it is tried again the next time.
    every_seconds : float
        Between two times.
    """

    def __init__(self, clean: Callable[[], None], every_seconds: float = EVERY_SECONDS) -> None:
        self._clean = clean
        self._every = every_seconds
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="cleaner", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, after what is being done."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                self._clean()
            except Exception:
                log.exception("old jobs could not be removed")
            if self._closed.wait(self._every):
                return
