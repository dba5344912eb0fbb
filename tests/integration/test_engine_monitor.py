"""Each job hears of its own iterations, and NiMARE has its progress bars back when the last job has ended."""

from __future__ import annotations

import importlib
import threading

from compose_runner.analysis.compute.engine.monitor import MODULES_WITH_BARS, observe_iterations

MODULES = [importlib.import_module(name) for name in MODULES_WITH_BARS]


def test_jobs_in_two_threads_each_hear_of_their_own_iterations() -> None:
    bars = [module.tqdm for module in MODULES]
    begun, done = threading.Barrier(2), [threading.Event(), threading.Event()]
    heard: list[list[tuple[int, int]]] = [[], []]

    def job(number: int) -> None:
        with observe_iterations(lambda *progress: heard[number].append(progress)):
            begun.wait(10)
            for module in MODULES:
                assert list(module.tqdm(range(number + 1), desc="iterations")) == list(range(number + 1))
            done[number].set()
            done[1 - number].wait(10)

    threads = [threading.Thread(target=job, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert heard == [[(1, 1)] * len(MODULES), [(1, 2), (2, 2)] * len(MODULES)]
    assert [module.tqdm for module in MODULES] == bars


def test_a_thread_without_a_listener_keeps_nimares_own_bars() -> None:
    shown: list[str] = []

    def elsewhere() -> None:
        with MODULES[0].tqdm(range(2), disable=True) as bar:
            shown.append(type(bar).__module__.partition(".")[0])

    with observe_iterations(lambda *progress: None):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(10)
    assert shown == ["tqdm"]
