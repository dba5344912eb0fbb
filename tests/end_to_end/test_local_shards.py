"""A real job of the embedded service, sharded over two tasks, one of which is killed on the way."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("moto", reason="needs the local extra")

from compose_runner.analysis.job import run_job
from tests.support import synthetic
from tests.support.compose_stand_in import STORE_HOST, ComposeStandIn
from tests.support.running_service import RunningService

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

JOB_SECONDS = 300
STUDYSET = synthetic.random_studyset(n_studies=6)
NOTES = synthetic.annotated(STUDYSET)
SPECIFICATION = synthetic.specification(
    "MKDADensity", corrector="FWECorrector", corrector_args={"method": "montecarlo", "n_iters": "20"}
)


@pytest.fixture(scope="module")
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as stand_in:
        stand_in.put(
            "meta-analyses/long",
            {
                "id": "long",
                "specification": SPECIFICATION,
                "neurostore_studyset": {"id": "studyset"},
                "neurostore_annotation": {"id": "notes"},
            },
        )
        stand_in.put("studysets/studyset", STUDYSET, host=STORE_HOST)
        stand_in.put("annotations/notes", NOTES, host=STORE_HOST)
        yield stand_in


def kill_shard(number: int, seconds: float = JOB_SECONDS) -> None:
    """Kill the task that computes a shard as soon as there is one."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                variables = (folder / "environ").read_bytes().split(b"\0")
                if f"SHARD={number}".encode() in variables and b"META_ANALYSIS_ID=long" in variables:
                    os.kill(int(folder.name), signal.SIGKILL)
                    return
        pause.wait(0.02)
    raise AssertionError(f"there never was a shard {number}")


def test_a_job_that_is_spread_ends_with_the_maps_of_one_that_is_not(compose: ComposeStandIn, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps({"studyset": STUDYSET, "annotation": NOTES, "specification": SPECIFICATION}))
    run_job("long", bundle=bundle, result_dir=tmp_path / "whole", report=False)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.nii.gz")}

    options = ("--compose-url", compose.compose_api, "--neurostore-url", compose.neurostore_api)
    sharding = ("--parameter", "ShardThresholdSeconds=0", "--parameter", "MaxShards=2")
    with RunningService(tmp_path / "data", *options, *sharding, stub=False, REPORT="false") as service:
        submitted = service.submit("long", no_upload=True)
        kill_shard(0)
        ended = service.wait_for(submitted["job_id"], JOB_SECONDS)
        assert ended["status"] == "SUCCEEDED", ended
        messages = service.messages(submitted["artifact_prefix"])
        artifacts = service.post("results", artifact_prefix=submitted["artifact_prefix"]).document["artifacts"]
        found = {
            artifact["filename"]: service.pool.request("GET", artifact["url"], decode_content=False).data
            for artifact in artifacts
            if artifact["filename"].endswith(".nii.gz")
        }

    assert messages.count("workflow.spread") == 1
    assert messages.count("workflow.shard_completed") == 2
    # the first task, two shards, one of them twice, the last task
    assert messages.count("workflow.start") in (4, 5)  # the one that was killed may not have come so far
    assert ended["result"]["prediction"]["shards"] == 2
    assert expected
    assert {name: hashlib.sha256(content).hexdigest() for name, content in found.items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in expected.items()
    }
