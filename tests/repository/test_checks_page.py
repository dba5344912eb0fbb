"""The page "What is checked" has every code that the code gives, with its severity, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from compose_runner.analysis.audit.codes import CODES

REPOSITORY = Path(__file__).parents[2]
CODE = re.compile(r"(coordinates|studies|sample-size|annotation|specification|images|result)(-[a-z0-9]+)+")
ROW = re.compile(r"^\| `([^`]+)` \| (error|warning|note) \| (.+) \| (.+) \|$", re.MULTILINE)


def rows() -> dict[str, tuple[str, str, str]]:
    """Severity, meaning and advice of every code on the page."""
    page = (REPOSITORY / "docs" / "checks.md").read_text(encoding="utf-8")
    found = ROW.findall(page)
    assert len({code for code, *_ in found}) == len(found)
    return {code: (severity, meaning, advice) for code, severity, meaning, advice in found}


def codes_in_code() -> set[str]:
    """Every text that has the form of a code, wherever in the package it stands."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (REPOSITORY / "compose_runner").rglob("*.py"))
    texts = {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if CODE.fullmatch(text)}


def test_every_code_is_on_the_page_and_the_page_has_no_other() -> None:
    assert set(rows()) == codes_in_code()


def test_the_page_says_how_grave_each_finding_is() -> None:
    for code, (severity, _) in CODES.items():
        assert rows()[code][0] == severity.value, code


def test_every_code_is_explained_below_the_heading_of_its_kind() -> None:
    page = (REPOSITORY / "docs" / "checks.md").read_text(encoding="utf-8")
    for section in page.split("\n## ")[1:]:
        kinds = {code.split("-")[0] for code, *_ in ROW.findall(section)}
        assert len(kinds) <= 1, section[:40]
    assert all(len(meaning) > 20 and advice for _, meaning, advice in rows().values())
