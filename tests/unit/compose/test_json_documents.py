"""JSON of others: what cannot be worked with is a document error with its place; what is written every parser reads."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_runner.compose import json_documents
from compose_runner.compose.json_documents import DEEPEST, parse_json, strict_json
from compose_runner.errors import DocumentMalformedError


def refusal(content: bytes) -> str:
    with pytest.raises(DocumentMalformedError) as raised:
        parse_json(content, "studyset s", "http://store/s")
    assert "studyset s" in str(raised.value)
    assert "http://store/s" in str(raised.value)
    return raised.value.reason


def nested(depth: int, of: str = "[]") -> bytes:
    return (of[0] * depth + of[1] * depth if of == "[]" else '{"a":' * depth + "1" + "}" * depth).encode()


@pytest.mark.parametrize("depth", [DEEPEST + 2, 900, 5000, 100_000])
@pytest.mark.parametrize("of", ["[]", "{}"])
def test_deep_documents_are_refused(depth: int, of: str) -> None:
    assert "nested more than 64 deep" in refusal(nested(depth, of))
    assert "nested more than 64 deep" in refusal(b'{"studies": [{"note": ' + nested(depth, of) + b"}]}")


def test_a_document_at_the_limit_can_be_pickled_and_written() -> None:
    document = parse_json(nested(DEEPEST), "d", "")
    assert pickle.loads(pickle.dumps(document)) == document
    assert json.loads(strict_json(document)) == document


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b'{"studies": [{"id": 1}, {"n": 99999999999999999999999}]}',
            "studies[1].n is a whole number of more than 64 bits",
        ),
        (b'{"n": ' + b"9" * 4000 + b"}", "n is a whole number of more than 64 bits"),
        (b'{"n": -' + b"9" * 5000 + b"}", "a whole number of more than 64 bits"),
        (b"9" * 100, "it is a whole number of more than 64 bits"),
        (b'{"studies": [{"id": "\\ud800 lone"}]}', "studies[0].id holds half of a character (a lone surrogate)"),
        (b'{"studies": [{"id": "\xed\xa0\x80"}]}', "studies[0].id holds half of a character"),
        (b'{"a": {"\\udfff": 1}}', "the key '\\udfff' holds half of a character"),
        *(
            ('{"a": "\ud800"}'.encode(encoding, "surrogatepass"), "a holds half of a character")
            for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
        ),
        (b'{"a": 1, "b": {"id": 2, "id": 3}}', "the key 'id' stands twice in an object"),
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"\x80abc", "not JSON"),
        (b'{"a": 1} 2', "not JSON"),
        (b"[1, 2,]", "not JSON"),
    ],
)
def test_what_cannot_be_worked_with_is_refused_with_its_place(content: bytes, reason: str) -> None:
    assert reason in refusal(content)


def test_documents_have_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_documents, "MOST_BYTES", 1000)
    assert refusal(b" " * 1001) == "it has more than 1,000 bytes"
    monkeypatch.setattr(json_documents, "MOST_VALUES", 100)
    assert refusal(b"[" + b"[]," * 200 + b"[]]") == "it has more than 100 values"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_every_encoding_of_json_is_read(encoding: str) -> None:
    document = {"é": "脑 😀", "n": [1, 2.5, None, True, 2**63, -(2**63)]}
    assert parse_json(json.dumps(document, ensure_ascii=False).encode(encoding), "d", "") == document
    assert parse_json(json.dumps(document).encode(encoding), "d", "") == document


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(DOCUMENTS)
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_json_whatever_is_in_it(document: Any) -> None:
    def no_constant(word: str) -> None:
        raise AssertionError(word)

    again = json.loads(strict_json(document), parse_constant=no_constant)
    assert again == json_documents.strict(document)


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:0123456789eE+-.\\udtrfalsn ', max_size=40).map(str.encode))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_document_or_a_document_error(content: bytes) -> None:
    try:
        document = parse_json(content, "d", "")
    except DocumentMalformedError:
        return
    strict_json(document).encode()


def test_numbers_that_json_has_not_become_null_only_when_written() -> None:
    document = parse_json(b'{"a": [NaN, -Infinity, 1e999, 1]}', "d", "")
    assert math.isinf(document["a"][2])
    assert strict_json(document) == '{"a": [null, null, null, 1]}'
