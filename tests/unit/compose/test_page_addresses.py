"""An address of Compose's pages stands for the id and the environment in it."""

from __future__ import annotations

import pytest

from compose_runner.compose.page_addresses import describe_missing, parse_meta_analysis
from compose_runner.errors import AnalysisError


@pytest.mark.parametrize(
    ("text", "identity", "environment"),
    [
        ("ataCTPAt2LMw", "ataCTPAt2LMw", "staging"),
        ("my/label", "my/label", "staging"),
        ("", "", "staging"),
        ("https://compose.neurosynth.org/meta-analyses/ataCTPAt2LMw", "ataCTPAt2LMw", "production"),
        ("compose.neurosynth.org/meta-analyses/ataCTPAt2LMw/", "ataCTPAt2LMw", "production"),
        (" https://compose.neurosynth.org/projects/p1/meta-analyses/a1?tab=2#top ", "a1", "production"),
        ("https://compose.neurosynth.org/projects/p1/meta-analyses/a1/edit", "a1", "production"),
        ("https://compose.neurosynth.org/api/meta-analyses/a1", "a1", "production"),
        ("https://dev.synth.neurostore.xyz/meta-analyses/a1", "a1", "development"),
        ("http://localhost:81/meta-analyses/a1", "a1", "local"),
        ("http://compose.mylab.org/meta-analyses/a1", "a1", "staging"),
    ],
)
def test_the_id_is_read_out_of_an_address(text: str, identity: str, environment: str) -> None:
    assert parse_meta_analysis(text, "staging") == (identity, environment)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://compose.neurosynth.org/projects/p1", "is the page of a project"),
        ("https://compose.neurosynth.org/meta-analyses/", "is not the address of a meta-analysis"),
        ("https://neurostore.org/api/studysets/s1", "is not the address of a meta-analysis"),
        ("compose.neurosynth.org/", "is not the address of a meta-analysis"),
    ],
)
def test_another_address_says_what_an_id_looks_like(text: str, words: str) -> None:
    with pytest.raises(AnalysisError, match=words) as refused:
        parse_meta_analysis(text, "production")
    assert "ataCTPAt2LMw" in str(refused.value)


def test_a_missing_meta_analysis_says_what_an_id_looks_like_and_where_else_to_look() -> None:
    text = describe_missing("abc", "production")
    assert "ataCTPAt2LMw" in text
    assert "--environment staging or --environment development" in text
    assert "--environment production" not in text
