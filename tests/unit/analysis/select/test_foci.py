"""Foci are read where there is no doubt, left out where they are none, and otherwise kept as they are."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from compose_runner.analysis.select.foci import MNI, TALAIRACH, FociAccount, parse_space, read_foci
from tests.support import synthetic

STUDYSET = synthetic.random_studyset(2, analyses_per_study=1, foci_per_analysis=3)


def read(**point: Any) -> tuple[dict[str, Any] | None, FociAccount]:
    """Read a single focus, and give what became of it."""
    document = synthetic.studyset([synthetic.study("s", [{**synthetic.analysis("a"), "points": [point]}])])
    found = read_foci(document)
    points = found.studyset["studies"][0]["analyses"][0]["points"]
    return (points[0] if points else None), found.accounts[0, 0]


def test_a_good_studyset_is_shared_and_not_copied() -> None:
    before = copy.deepcopy(STUDYSET)
    found = read_foci(STUDYSET)
    assert before == STUDYSET
    assert all(one is other for one, other in zip(found.studyset["studies"], STUDYSET["studies"], strict=True))
    assert found.accounts[0, 0] == FociAccount(listed=3, spaces={"MNI": 3})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stated", "numbers"),
    [
        ({"coordinates": ["-40", "20.5", " 4e0 "]}, [-40, 20.5, 4]),
        ({"coordinates": ["\u221240", 20, "+4"]}, [-40, 20, 4]),
        ({"coordinates": "-40, 20, 4"}, [-40, 20, 4]),
        ({"coordinates": "(-40 20 4)"}, [-40, 20, 4]),
        ({"coordinates": {"X": -40, "y": 20, "z": "4"}}, [-40, 20, 4]),
        ({"x": -40, "y": 20, "z": 4}, [-40, 20, 4]),
        ({"coordinates": None, "x": -40, "y": 20, "z": 4}, [-40, 20, 4]),
        ({"coordinates": [None, None, None], "X": -40, "Y": 20, "Z": 4}, [-40, 20, 4]),
    ],
)
def test_numbers_are_read_wherever_they_stand(stated: dict[str, Any], numbers: list[float]) -> None:
    point, account = read(space="MNI", **stated)
    assert point is not None
    assert point["coordinates"] == numbers
    assert (account.read, account.without_coordinates) == (1, 0)


@pytest.mark.parametrize(
    ("coordinates", "reason"),
    [
        (None, "empty"),
        ([], "empty"),
        ("", "empty"),
        ([None] * 3, "empty"),
        ([1, 2], "not three numbers"),
        ([1, 2, 3, 4], "not three numbers"),
        ([1, None, 3], "not three numbers"),
        ([[1, 2, 3]], "not three numbers"),
        ([1, 2, [3]], "not three numbers"),
        ({"x": 1, "y": 2}, "not three numbers"),
        (7, "not three numbers"),
        ([True, False, True], "true or false"),
        ([float("nan"), 0, 0], "not finite"),
        ([0, float("-inf"), 0], "not finite"),
        (["nan", 0, 0], "not finite"),
        (["1_0", 0, 0], "a text that is no number"),
        (["10,5", "1", "2"], "a text that is no number"),
        (["1e999", 0, 0], "not finite"),
        ([1e12, 0, 0], "farther than a kilometre"),
        ([10**400, 0, 0], "farther than a kilometre"),
    ],
)
def test_what_is_no_focus_is_left_out_with_the_reason(coordinates: Any, reason: str) -> None:
    point, account = read(coordinates=coordinates, space="MNI")
    assert point is None
    assert account.left_out == {reason: 1}
    assert (account.listed, account.usable) == (1, 0)


@pytest.mark.parametrize(
    ("label", "space"),
    [
        *(
            (label, TALAIRACH)
            for label in ("TAL", "tal", "Talairach", "talairach ", "Talairach & Tournoux".replace("&", "and"))
        ),
        *((label, MNI) for label in ("MNI", "mni", "MNI152", "mni152_2mm", "MNI152NLin2009cAsym", "ICBM 152")),
        *((label, None) for label in ("UNKNOWN", "OTHER", "", None, "fsaverage", "MNI to Talairach", "TLRC?")),
    ],
)
def test_labels_of_spaces_are_read_in_any_spelling(label: str | None, space: str | None) -> None:
    assert parse_space(label) == space
    point, account = read(coordinates=[1, 2, 3], space=label)
    assert point is not None
    # NiMARE takes what it does not know for the space that it computes in
    assert {"Talairach": "TAL"}.get(point["space"], point["space"]) == (space or MNI)
    assert (account.converted, account.taken_as_mni) == (space == TALAIRACH, space is None)
    assert account.spaces == {" ".join((label or "").split()): 1}


@pytest.mark.parametrize(
    ("point", "negative"),
    [
        ({"values": [{"kind": "Z", "value": -3}]}, True),
        ({"values": [{"kind": "Z", "value": "3.1"}, {"kind": "T", "value": "\u22122"}]}, True),
        ({"values": [{"kind": "P", "value": -1}, {"kind": "Z", "value": None}, None]}, False),
        ({"kind": "deactivation"}, True),
        ({"kind": "unknown", "deactivation": False}, False),
        ({"deactivation": True}, True),
    ],
)
def test_decreases_are_counted(point: dict[str, Any], negative: bool) -> None:
    assert read(coordinates=[1, 2, 3], **point)[1].negative == negative
