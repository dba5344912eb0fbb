"""Plain text is shown by Markdown as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from compose_runner.analysis.write.markdown import markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Benjamini & Hochberg (1995), p < 0.05", "Benjamini & Hochberg (1995), p &lt; 0.05"),
        ("[a](javascript:b) *c* _d_", r"\[a\](javascript:b) \*c\* \_d\_"),
        ("&lt;", "&amp;lt;"),
        ("# no heading", r"\# no heading"),
    ],
)
def test_markup_is_escaped_and_nothing_else(text: str, escaped: str) -> None:
    assert markdown(text) == escaped


@given(st.text(st.sampled_from("ab1 .<>&;#*_`[]()!|~\\{}+-:/\"'="), max_size=30))
def test_a_reader_of_markdown_sees_the_text_alone(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"x {markdown(text)} x")
    [paragraph] = [token for token in tokens if token.type == "inline"]
    kinds = {child.type for child in paragraph.children or []}
    assert kinds <= {"text", "text_special"}
    assert "".join(child.content for child in paragraph.children or []) == f"x {text} x"
