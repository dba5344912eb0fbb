from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from compose_runner.analysis.drawing import draw_all

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def _draw(path: Path) -> None:
    path.write_text(str(os.getpid()))


@pytest.mark.parametrize("n_cores", [1, 2, 3, 9])
@pytest.mark.parametrize("n_drawings", [0, 1, 2, 5])
def test_every_drawing_is_made_whatever_the_cores(tmp_path: Path, n_cores: int, n_drawings: int) -> None:
    draw_all([partial(_draw, tmp_path / str(number)) for number in range(n_drawings)], n_cores)
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(number) for number in range(n_drawings)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="figures are drawn in processes on Linux only")
def test_two_cores_draw_in_two_processes(tmp_path: Path) -> None:
    draw_all([partial(_draw, tmp_path / str(number)) for number in range(2)], 2)
    assert len({path.read_text() for path in tmp_path.iterdir()}) == 2


def test_a_drawing_whose_process_dies_is_made_here(tmp_path: Path) -> None:
    here = os.getpid()

    def dies_elsewhere() -> None:
        if os.getpid() != here:
            os._exit(3)
        _draw(tmp_path / "first")

    draw_all([dies_elsewhere, partial(_draw, tmp_path / "second")], 2)
    assert (tmp_path / "first").read_text() == str(here)
    assert (tmp_path / "second").exists()


def test_an_error_of_a_drawing_is_seen(tmp_path: Path) -> None:
    def impossible() -> None:
        raise ValueError("no such map")

    with pytest.raises(ValueError, match="no such map"):
        draw_all([impossible, partial(_draw, tmp_path / "second")], 2)
