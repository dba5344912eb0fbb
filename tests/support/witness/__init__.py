"""A second interpreter of the state machine, which does not descend from the embedded engine's.

The npm package ``aws-local-stepfunctions`` is one script without dependencies. It is fetched once by name and version,
checked against the checksums in ``interpreter.json``, and kept in the virtual environment, so that later runs need no
network.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support.state_machine import states

FOLDER = Path(__file__).parent
ABOUT: dict[str, str] = json.loads((FOLDER / "interpreter.json").read_text())
FETCH_SECONDS = 120


class NotHereError(Exception):
    """The interpreter can neither be found nor fetched."""


def _digest(algorithm: str, content: bytes) -> str:
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


def script() -> Path:
    """Give the interpreter's script; fetch it if it is not kept yet.

    Raises
    ------
    NotHereError
        There is no node, or nothing is kept and npm cannot fetch it.
    """
    if shutil.which("node") is None:
        raise NotHereError("node is not installed")
    kept = Path(sys.prefix) / "share" / "aws-local-stepfunctions" / f"{ABOUT['version']}.mjs"
    if kept.exists() and _digest("sha256", kept.read_bytes()) == ABOUT["script"]:
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise NotHereError("npm is not installed")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        command = [npm, "pack", "--silent", "--ignore-scripts", f"{ABOUT['package']}@{ABOUT['version']}"]
        try:
            done = subprocess.run(
                command, cwd=folder, check=True, capture_output=True, text=True, timeout=FETCH_SECONDS
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise NotHereError(f"npm cannot fetch {command[-1]}") from error
        archive = Path(folder) / done.stdout.split()[-1]
        if _digest("sha512", archive.read_bytes()) != ABOUT["integrity"]:
            raise ValueError(f"{archive.name} has not the checksum in interpreter.json")
        with tarfile.open(archive) as tar:
            member = tar.extractfile(f"package/{ABOUT['file']}")
            assert member is not None, f"{archive.name} has no {ABOUT['file']}"
            content = member.read()
        if _digest("sha256", content) != ABOUT["script"]:
            raise ValueError(f"{ABOUT['file']} has not the checksum in interpreter.json")
        # whole at once: tests of other processes may look for it
        written = Path(folder) / "script"
        written.write_bytes(content)
        written.replace(kept)
    return kept


@dataclass(frozen=True)
class Ended:
    """How an execution ended.

    Parameters
    ----------
    status : str
        ``"SUCCEEDED"`` or ``"FAILED"``.
    output : Any
        Of a success.
    error, cause : str or None
        Of a failure.
    entered : list of str
        Names of the states that were entered, in order; those of shards are mixed.
    calls : list of dict
        ``state`` and ``input`` of each call of a service.
    """

    status: str
    output: Any = None
    error: str | None = None
    cause: str | None = None
    message: str | None = None
    entered: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)


class Witness:
    """The interpreter in a process of its own, which runs one execution after another."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(FOLDER / "interpreter.mjs"), str(script())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def run(
        self, definition: dict[str, Any], document: Any, answers: dict[str, list[dict[str, Any]]], name: str = "job"
    ) -> Ended:
        """Run an execution to its end, without its waits.

        Parameters
        ----------
        definition : dict
            Amazon States Language, substitutions done.
        document : Any
            The execution's input.
        answers : dict
            For a state, or for a state and a shard (``"RunShard/1"``), what its calls answer, one after another:
            ``output``, or ``error`` with or without ``cause``. The last one is repeated.
        name : str
            The execution's name.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        context = {"Execution": {"Name": name, "StartTime": "2026-06-01T10:00:00.000Z"}}
        request = {
            "definition": _adapted(definition),
            "input": document,
            "context": context,
            "answers": answers,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the interpreter has ended"
        ended = Ended(**json.loads(line))
        assert ended.status != "INVALID", ended.message
        return ended


def _adapted(definition: dict[str, Any]) -> dict[str, Any]:
    """Change what this interpreter does otherwise than AWS.

    It reads ``TimeoutSecondsPath`` from what ``Parameters`` made; AWS reads it from the state's input. And its log of
    events ends with the last state, before the events of branches have come; a wait of no seconds lets them come.
    """
    changed = copy.deepcopy(definition)
    for _, one in states(changed):
        one.pop("TimeoutSecondsPath", None)
        if one["Type"] == "Succeed":
            one.update(Type="Wait", Seconds=0, End=True)
    return changed
