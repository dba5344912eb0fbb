"""The stand-in itself: other tests believe what it says it received."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from tests.support.compose_stand_in import Answer, ComposeStandIn, Part, parse_multipart

if TYPE_CHECKING:
    from pathlib import Path


@given(st.lists(st.tuples(st.sampled_from(["maps", "tables"]), st.binary(max_size=60)), max_size=4))
def test_multipart_uploads_are_taken_apart_byte_for_byte(files: list[tuple[str, bytes]]) -> None:
    fields = [(name, (f"{index}.nii.gz", content)) for index, (name, content) in enumerate(files)]
    body, content_type = urllib3.encode_multipart_formdata([*fields, ("text", "ü")])
    parts = parse_multipart(content_type, body)
    assert parts == [
        *(Part(name, f"{index}.nii.gz", content) for index, (name, content) in enumerate(files)),
        Part("text", None, "ü".encode()),
    ]


def test_it_replays_a_directory_and_nothing_outside_it(tmp_path: Path) -> None:
    folder = tmp_path / "recorded" / "compose.neurosynth.org" / "api" / "projects"
    folder.mkdir(parents=True)
    (folder / "p.json").write_text('{"id": "p"}')
    (tmp_path / "secret.json").write_text("{}")
    with ComposeStandIn(tmp_path / "recorded") as server:
        asked = urllib3.PoolManager()
        assert asked.request("GET", f"{server.compose_api}/projects/p").json() == {"id": "p"}
        assert asked.request("GET", f"{server.endpoint}/%2e%2e/secret").status == 404
        assert asked.request("GET", f"{server.compose_api}/projects/q").status == 404
        assert server.asked()["compose.neurosynth.org/api/projects/p"] == 1


def test_arranged_failures_come_first_and_in_order() -> None:
    with ComposeStandIn() as server:
        server.put("projects/p", {"id": "p"})
        server.fail("GET", "projects/p", Answer(503), Answer(drop=True))
        asked = urllib3.PoolManager(retries=False)
        address = f"{server.compose_api}/projects/p"
        assert asked.request("GET", address).status == 503
        with pytest.raises(urllib3.exceptions.ProtocolError):
            asked.request("GET", address)
        assert asked.request("GET", address).status == 200


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("wrong", 401), ("right", 200)])
def test_results_need_the_upload_key(key: str | None, status: int) -> None:
    with ComposeStandIn(upload_key="right") as server:
        answer = urllib3.request(
            "POST",
            f"{server.compose_api}/meta-analysis-results",
            json={"meta_analysis_id": "m"},
            headers={"Compose-Upload-Key": key} if key else {},
        )
        assert answer.status == status
        assert len(server.results) == (status == 200)
