"""A study that a studyset lists more than once is one study."""

from __future__ import annotations

import copy

from compose_runner.analysis.select.repeated import merge_repeated
from tests.support import synthetic

STUDYSET = synthetic.random_studyset(3, analyses_per_study=1)


def test_a_studyset_without_repetition_is_given_back_as_it_is() -> None:
    assert merge_repeated(STUDYSET).studyset is STUDYSET
    assert merge_repeated(STUDYSET).repeated == ()


def test_a_copy_adds_nothing() -> None:
    document = copy.deepcopy(STUDYSET)
    document["studies"].append(copy.deepcopy(document["studies"][1]))
    before = copy.deepcopy(document)
    merged = merge_repeated(document)
    assert merged.studyset == STUDYSET
    assert [study["id"] for study in merged.repeated] == ["s1"]
    assert document == before


def test_later_entries_fill_in_what_is_not_said_and_add_their_analyses() -> None:
    document = copy.deepcopy(STUDYSET)
    again = synthetic.study("s1", [synthetic.analysis("more", [(1, 2, 3)]), synthetic.analysis("s1a0", [(4, 5, 6)])])
    again |= {"name": "another title", "doi": "10.1000/x", "metadata": {"n": 12}}
    document["studies"].insert(0, {**document["studies"][0], "id": 7})
    document["studies"].append(again)
    study = merge_repeated(document).studyset["studies"][2]
    assert (study["name"], study["doi"], study["metadata"]) == ("Study s1", "10.1000/x", {"n": 12})
    # one id with other foci is another analysis
    assert [analysis["id"] for analysis in study["analyses"]] == ["s1a0", "more", "s1a0"]
