"""No value in any field of a document opens a file, asks a host, starts a process, or ends in a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.hostile_documents import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

MOST_MEGABYTES = 2000

CARELESS = """
import json, socket, sys
from pathlib import Path
from tests.support import hostile_documents

def careless(folder, content, **_options):
    document = json.loads(content)
    images = document["studyset"]["studies"][0]["analyses"][0]["images"]
    name = images[0]["filename"]
    if name == "/etc/passwd":
        open(name).close()
    if name == "../secret.nii.gz":
        (folder / "bundle" / "link.nii.gz").read_bytes()
    if name == "http://127.0.0.1:1/z.nii.gz":
        socket.socket().connect_ex(("127.0.0.1", 1))
    if name == "=1+1":
        raise KeyError(name)

print(json.dumps(hostile_documents.main(Path(sys.argv[1]), False, careless)))
"""


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    child = subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=3600
    )
    assert child.returncode == 0, child.stderr[-3000:]
    found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return found


def test_hostile_values_in_every_field_do_no_harm(tmp_path: Path) -> None:
    found = run(tmp_path, "-m", "tests.support.hostile_documents", str(tmp_path))
    assert found["violations"] == []
    assert found["megabytes"] < MOST_MEGABYTES
    assert found["refused"] > 200
    assert found["tried"] - found["refused"] > 50


@pytest.mark.slow
def test_all_hostile_values_in_every_field_do_no_harm(tmp_path: Path) -> None:
    found = run(tmp_path, "-m", "tests.support.hostile_documents", str(tmp_path), "--all")
    assert found["violations"] == []
    assert found["megabytes"] < MOST_MEGABYTES


def test_the_watch_sees_what_a_careless_reader_does(tmp_path: Path) -> None:
    found = run(tmp_path, "-c", CARELESS, str(tmp_path))
    seen = " ".join(violation["what"] for violation in found["violations"])
    assert "open /etc/passwd" in seen
    assert "open " + str(tmp_path / "bundle" / "link.nii.gz") in seen
    assert "socket.connect" in seen
    assert "KeyError" in seen
