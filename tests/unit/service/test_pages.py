"""What makes a request a browser's, and what a page allows itself."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from compose_runner.service.pages import make_page, prefers_page, read_page

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (CHROMIUM, True),
        ("text/html", True),
        ("TEXT/HTML; q=0.4, */*;q=0.1", True),
        ("application/json;q=0.2, text/html", True),
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html;q=0.000, */*", False),
        ("text/html" + " " * 5000, False),
        (",;,;q=,,", False),
    ],
)
def test_only_who_prefers_html_gets_a_page(accept: str | None, page: bool) -> None:
    assert prefers_page(accept) is page


def test_the_policy_allows_the_pages_own_style_and_script_and_its_own_address_alone() -> None:
    page = read_page("job")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))

    for directive, element in (("style-src", "style"), ("script-src", "script")):
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>", page.html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["form-action"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert not re.search(r"https?://|\sstyle=|\son[a-z]+=", page.html)


def test_a_page_without_a_script_allows_none() -> None:
    page = make_page("<!-- style --><p>text</p>")

    assert "script-src 'none'" in page.headers["Content-Security-Policy"]
    assert "<script" not in page.html


def test_no_script_writes_markup() -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", read_page("job").html
    )
