"""Functions of libraries are replaced while jobs run and are back afterwards, whatever the order in which jobs end."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import ExitStack
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from compose_runner.analysis.compute.patches.replacing import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = "a_library_of_this_test"


@pytest.fixture
def library() -> Iterator[ModuleType]:
    module = ModuleType(LIBRARY)
    module.step = "its own"  # type: ignore[attr-defined]
    sys.modules[LIBRARY] = module
    yield module
    del sys.modules[LIBRARY]


@pytest.mark.parametrize("steps", [("ours", "ours"), ("first", "second")], ids=["same", "different"])
@pytest.mark.parametrize("first_to_end", [0, 1])
def test_threads_that_overlap_leave_the_librarys_own_step(
    library: ModuleType, steps: tuple[str, str], first_to_end: int
) -> None:
    may_end = [threading.Event(), threading.Event()]
    begun = threading.Barrier(3)

    def job(number: int) -> None:
        with replaced([(LIBRARY, "step", steps[number])]):
            begun.wait(10)
            may_end[number].wait(10)

    threads = [threading.Thread(target=job, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    may_end[first_to_end].set()
    threads[first_to_end].join(10)
    assert library.step == steps[1 - first_to_end]
    may_end[1 - first_to_end].set()
    threads[1 - first_to_end].join(10)
    assert library.step == "its own"


def test_nested_replacements_end_one_after_the_other(library: ModuleType) -> None:
    with replaced([(LIBRARY, "step", "outer")]):
        with replaced([(LIBRARY, "step", "inner")]):
            assert library.step == "inner"
        assert library.step == "outer"
    assert library.step == "its own"


def test_the_librarys_own_step_is_back_after_an_error(library: ModuleType) -> None:
    with pytest.raises(KeyError), replaced([(LIBRARY, "step", "ours")]):
        raise KeyError
    assert library.step == "its own"


@pytest.mark.parametrize("target", [(LIBRARY, "gone"), (f"{LIBRARY}.gone", "step")], ids=["attribute", "module"])
def test_a_target_that_is_gone_is_logged_and_the_others_are_replaced(
    library: ModuleType, target: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with replaced([(*target, "ours"), (LIBRARY, "step", "ours")]):
        assert library.step == "ours"
    assert vars(library).keys() >= {"step"}
    assert not hasattr(library, "gone")
    (record,) = caplog.records
    assert ".".join(target) in record.getMessage()


def test_many_threads_at_once(library: ModuleType) -> None:
    together = threading.Barrier(8)
    seen: set[str] = set()

    def job() -> None:
        together.wait(10)
        for _ in range(200):
            with ExitStack() as stack:
                stack.enter_context(replaced([(LIBRARY, "step", "ours")]))
                seen.add(library.step)

    threads = [threading.Thread(target=job) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == {"ours"}
    assert library.step == "its own"
