"""Draw figures on all cores: matplotlib is Python, so that only processes help, and only forked ones start at once.

A drawing writes files. One whose process fails, for whatever reason, is drawn again in this process, where its error
can be seen.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

# far longer than any figure takes; what is not done by then never will be
DRAWING_SECONDS = 300.0


def draw_all(drawings: Sequence[Callable[[], object]], n_cores: int = 1) -> None:
    """Make drawings, each in a process of its own while there are cores.

    Parameters
    ----------
    drawings : sequence of callable
        Each writes its own files and nothing else; the longest first.
    n_cores : int
        How many at the same time.
    """
    if n_cores < 2 or len(drawings) < 2 or not sys.platform.startswith("linux"):
        for drawing in drawings:
            drawing()
        return
    context = multiprocessing.get_context("fork")
    waiting = list(enumerate(drawings))
    running: list[tuple[int, Any]] = []
    failed: list[int] = []
    # this process draws too: it takes the next drawing whenever all other cores are busy
    while waiting or running:
        while waiting and len(running) < n_cores - 1:
            number, drawing = waiting.pop(0)
            process = context.Process(target=_draw_silently, args=(drawing,), daemon=True)
            process.start()
            running.append((number, process))
        if waiting:
            _, drawing = waiting.pop(0)
            drawing()
        elif running:
            number, process = running.pop(0)
            process.join(DRAWING_SECONDS)
            if process.exitcode != 0:
                process.kill()
                failed.append(number)
        failed += [number for number, process in running if process.exitcode not in (0, None)]
        running = [(number, process) for number, process in running if process.exitcode is None]
    for number in failed:
        log.debug("drawing %d is made again in this process", number)
        drawings[number]()


def _draw_silently(drawing: Callable[[], object]) -> None:
    """Draw without a word: handlers of the parent may hold locks that nobody here releases."""
    logging.disable()
    drawing()
