"""Conditions are paired with the weights at their places."""

from __future__ import annotations

from typing import Any

import pytest

from compose_runner.errors import SpecificationError
from compose_runner.specification.conditions import pair_conditions, to_text


@pytest.mark.parametrize(
    ("conditions", "weights", "first", "second"),
    [
        (["true"], [1.0], ("true",), ()),
        (["left", "right"], [1, -1], ("left",), ("right",)),
        (["left", "right"], [-1, 1], ("right",), ("left",)),
        (["a", "b", "c"], [1, 1, -1], ("a", "b"), ("c",)),
        ([True, False], ["1", "-1.0"], (True,), (False,)),
        ("true", 1, ("true",), ()),
        (["left"], None, ("left",), ()),
        (["left", "right"], [], ("left",), ("right",)),
        (["left"], [1, -1], ("left",), ()),
        (None, None, (), ()),
        ([], [1.0], (), ()),
        (None, "nonsense", (), ()),
    ],
)
def test_a_condition_belongs_to_the_group_of_the_weight_at_its_place(
    conditions: Any, weights: Any, first: tuple[Any, ...], second: tuple[Any, ...]
) -> None:
    assert pair_conditions(conditions, weights) == (first, second)


@pytest.mark.parametrize(
    ("conditions", "weights", "said"),
    [
        (["left", "right"], [1], "'right' has no weight"),
        (["a", "b", "c"], None, "'a' has no weight"),
        (["left"], [0.5], "must be 1 (the first group) or -1"),
        (["left"], ["heavy"], "weight 'heavy'"),
        (["left"], [float("nan")], "weight nan"),
        (["left"], [None], "weight None"),
        (["left"], [-1], "No condition makes the first group"),
        (["left", "left"], [1, -1], "stands in both groups"),
        (["true", True], [1, -1], "stands in both groups"),
        ([None], [1], "not a single value"),
        ([["left"]], [1], "not a single value"),
        ({"left": 1}, [1], "conditions must be a list"),
        (["left"], {"left": 1}, "weights must be a list"),
    ],
)
def test_conditions_that_make_no_groups_are_refused(conditions: Any, weights: Any, said: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        pair_conditions(conditions, weights)

    assert said in str(caught.value)


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (2.0, "2"), (2.5, "2.5"), ("x", "x")])
def test_values_are_written_as_the_form_shows_them(value: object, text: str) -> None:
    assert to_text(value) == text
