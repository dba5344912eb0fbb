from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from compose_runner.analysis.write.figure_labels import AXIS_LENGTH, for_matplotlib, for_plotly, labels
from tests.support import hostile_texts

if TYPE_CHECKING:
    from collections.abc import Callable


def test_names_that_differ_stay_as_they_are() -> None:
    assert labels(["s0-a0", "s1-a0"], for_plotly) == ["s0-a0", "s1-a0"]


@pytest.mark.parametrize("longest", [AXIS_LENGTH, 60])
@pytest.mark.parametrize("escape", [for_plotly, for_matplotlib])
def test_labels_are_short_and_different(longest: int, escape: Callable[[str], str]) -> None:
    names = ["The same twenty letters of a study"] * 300 + ["<" * 100] * 3 + ["", "", *hostile_texts.EVERYWHERE] * 2
    found = labels(names, escape, longest)
    assert len(set(found)) == len(names)
    assert max(len(label) for label in found) <= longest + 1


def test_no_label_is_markup_or_mathematics() -> None:
    assert not any(
        re.search("[<>]|&(?!(amp|lt|gt);)", label) for label in labels(hostile_texts.IN_HTML, for_plotly, 500)
    )
    for label in labels(["$x$", r"a\$b$", "_hidden"], for_matplotlib):
        assert label.count("$") == label.count(r"\$")
        assert not label.startswith("_")
