"""Subsegments reach the daemon that Lambda runs, as its protocol asks, and only for requests that are sampled."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.service.xray import XRayProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
PARENT = "53995c3f42cd8ad8"


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.setblocking(False)
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"127.0.0.1:{daemon.getsockname()[1]}")
        monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={ROOT};Parent={PARENT};Sampled=1;Lineage=0:abc:0")

        def take() -> list[dict[str, Any]]:
            documents: list[dict[str, Any]] = []
            while True:
                try:
                    header, _, document = daemon.recv(65_536).decode().partition("\n")
                except BlockingIOError:
                    return documents
                assert json.loads(header) == {"format": "json", "version": 1}
                documents.append(json.loads(document))

        yield take


def test_a_subsegment_names_its_trace_and_its_parent(received: Callable[[], list[dict[str, Any]]]) -> None:
    provider = XRayProvider()

    with provider.in_subsegment("## handler") as outer, provider.in_subsegment("S3", namespace="aws"):
        provider.put_annotation("artifact_prefix", "job")

    inner_document, outer_document = received()
    assert (outer_document["trace_id"], outer_document["parent_id"]) == (ROOT, PARENT)
    assert (inner_document["parent_id"], inner_document["namespace"]) == (outer.id, "aws")
    assert inner_document["annotations"] == {"artifact_prefix": "job"}
    assert inner_document["end_time"] >= inner_document["start_time"]


def test_an_error_marks_the_subsegment_and_its_text_stays_here(
    received: Callable[[], list[dict[str, Any]]],
) -> None:
    with pytest.raises(ValueError, match="private"), XRayProvider().in_subsegment("work"):
        raise ValueError("private")

    (document,) = received()
    assert document["fault"] is True
    assert document["cause"]["exceptions"][0]["type"] == "ValueError"
    assert "private" not in json.dumps(document)


@pytest.mark.parametrize("header", ["", f"Root={ROOT};Parent={PARENT};Sampled=0", f"Root={ROOT}", "garbage"])
def test_nothing_is_sent_for_a_request_that_is_not_sampled(
    header: str, received: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header)

    with XRayProvider().in_subsegment("work"):
        pass

    assert received() == []


@pytest.mark.parametrize("address", ["127.0.0.1:1", "word", "127.0.0.1:x", "tcp:127.0.0.1:1 udp:127.0.0.1:1", " "])
def test_a_daemon_that_is_not_there_fails_no_request(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={ROOT};Parent={PARENT};Sampled=1")

    with XRayProvider().in_subsegment("work"):
        pass
