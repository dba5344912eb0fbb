"""Whatever stood in a result directory stands there after any sequence of runs, kills and uploads, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from compose_runner.analysis.fetch.bundle import fetch_bundle
from compose_runner.analysis.publish.publishing import publish
from compose_runner.analysis.write.result_directory import STATE, ResultDirectory
from compose_runner.analysis.write.result_record import run_may_write
from compose_runner.compose import http_client
from compose_runner.errors import ComposeRunnerError
from tests.support import synthetic
from tests.support.compose_stand_in import ComposeStandIn
from tests.support.result_runs import contents, killed_at, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose_runner.analysis.fetch.bundle import Bundle
    from compose_runner.compose.environments import Environment

# names that a run gives, and names that look as if one could
NAMES = st.sampled_from(
    [
        "z.nii.gz",
        "p.nii.gz",
        "z_tab-clust.tsv",
        "z_diag-FocusCounter_tab-counts.tsv",
        "report.html",
        "figures/figure-static.png",
        "boilerplate.txt",
    ]
)
OTHER_NAMES = st.sampled_from(
    [
        "thesis.txt",
        "private_scan.nii.gz",
        "patients.tsv",
        "figures/holiday.png",
        "figures",
        "images/photo.jpg",
        ".checkpoints/epoch.npz",
        ".unfinished-novel/draft.txt",
        ".publish.lock",
        "metadata.json",
        "publish.json",
        "bundle.json.gz",
        "results/z.nii.gz",
        f"{STATE}/images/scan.nii.gz",
        f"{STATE}/novel.txt",
    ]
)
CONTENTS = st.binary(max_size=8)
FILES = st.dictionaries(NAMES, CONTENTS, min_size=1, max_size=4)
STEPS = st.integers(1, 60)

STUDYSET = synthetic.random_studyset(n_studies=2)
META_ANALYSIS = {
    "id": "meta",
    "run_key": "a-run-key",
    "specification": synthetic.specification(),
    "neurostore_studyset": {"id": "storeset"},
    "neurostore_annotation": {"id": "storenote"},
}


@pytest.fixture(scope="module")
def compose() -> Iterator[ComposeStandIn]:
    with ComposeStandIn() as server:
        server.put_meta_analysis(META_ANALYSIS, STUDYSET, synthetic.annotated(STUDYSET))
        yield server


def in_a_process(step: int, action: Any, *arguments: Any, **more: Any) -> bool:
    """Act in a process that may be killed; whether it was."""
    with warnings.catch_warnings(action="ignore"):  # the server's thread has no part in what the child does
        child = os.fork()
    if not child:
        http_client.pool.cache_clear()
        killed_at(step, action, *arguments, **more)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


class Directory(RuleBasedStateMachine):
    """A directory that a person and runs share."""

    compose: ClassVar[ComposeStandIn]
    inputs: ClassVar[tuple[Bundle, Environment]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="result-directory-"))
        self.result_dir, self.elsewhere = self.folder / "results", self.folder / "elsewhere"
        self.result_dir.mkdir()
        self.elsewhere.mkdir()
        (self.elsewhere / "mine.txt").write_bytes(b"mine")
        # what belongs to the person, and what any run may have left: name to contents
        self.own: dict[str, bytes | str] = {}
        self.written: dict[str, set[bytes]] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def everything(self) -> dict[str, bytes | str]:
        """What stands in the directory, with what somebody else put into the hidden folder."""
        found = contents(self.result_dir)
        for name in (name for name in self.own if name.startswith(STATE)):
            path = self.result_dir / name
            if path.is_file():
                found[name] = path.read_bytes()
        return found

    @rule(name=OTHER_NAMES | NAMES, content=CONTENTS)
    def a_person_writes(self, name: str, content: bytes) -> None:
        path = self.result_dir / name
        assume(not any(part.is_symlink() for part in (path, *path.parents)))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:  # a file where the name wants a folder, or a folder where it wants a file
            assume(False)
        if content not in self.written.get(name, ()):
            self.own[name] = content
        else:
            # nothing tells it from what a run wrote
            self.own.pop(name, None)

    @rule(name=st.sampled_from(["z.nii.gz", "figures", "linked", STATE, "metadata.json"]), inside=st.booleans())
    def a_person_makes_a_link(self, name: str, inside: bool) -> None:
        assume(not os.path.lexists(self.result_dir / name))
        target = self.elsewhere if inside else self.elsewhere / "mine.txt"
        (self.result_dir / name).symlink_to(target)
        if name != STATE:
            self.own[name] = f"-> {target}"

    @rule(
        more=st.dictionaries(
            OTHER_NAMES | st.text(max_size=8), st.none() | st.text(max_size=4) | st.integers(), max_size=3
        ),
        garbage=st.none() | st.binary(max_size=8) | st.sampled_from([b"[" * 10_000, b"null", b"{}"]),
    )
    def a_record_comes_from_elsewhere(self, more: dict[str, Any], garbage: bytes | None) -> None:
        """One that names whatever the person keeps here under a name that no run gives, with the right checksums."""
        state = self.result_dir / STATE
        assume(not state.is_symlink() and not (state.exists() and not state.is_dir()))
        state.mkdir(exist_ok=True)
        files: dict[str, Any] = dict(more)
        for name, content in self.everything().items():
            if isinstance(content, bytes) and not run_may_write(name):
                checksum = hashlib.sha256(content).hexdigest()
                files[name] = {"size": len(content), "sha256": checksum, "replaced": checksum}
        folders = [os.path.relpath(root, self.result_dir) for root, _, _ in os.walk(self.result_dir)]
        forged = json.dumps({"files": files, "folders": folders}).encode() if garbage is None else garbage
        (state / "record.json").write_bytes(forged)

    @rule(name=NAMES)
    def a_person_removes(self, name: str) -> None:
        path = self.result_dir / name
        assume(path.is_file() and not path.is_symlink() and not path.parent.is_symlink())
        path.unlink()
        self.own.pop(name, None)

    @rule(files=FILES, overwrite=st.booleans())
    def a_run(self, files: dict[str, bytes], overwrite: bool) -> None:
        try:
            listed = run(self.result_dir, files, overwrite=overwrite, inputs=self.inputs)
        except (ComposeRunnerError, NotADirectoryError):
            return
        assert set(listed) == {*files, "bundle.json.gz"}
        self.written = {name: {content} for name, content in files.items()}

    @rule(files=FILES, overwrite=st.booleans(), step=STEPS)
    def a_run_that_may_be_killed(self, files: dict[str, bytes], overwrite: bool, step: int) -> None:
        in_a_process(step, run, self.result_dir, files, overwrite=overwrite, inputs=self.inputs)
        for name, content in files.items():
            self.written.setdefault(name, set()).add(content)

    @precondition(lambda self: os.path.lexists(self.result_dir / "publish.json"))
    @rule(step=STEPS | st.just(1000))
    def an_upload_that_may_be_killed(self, step: int) -> None:
        before = len(self.compose.results)
        in_a_process(step, publish, self.result_dir, environment=self.compose.environment(), attempts=0)
        for result in list(self.compose.results.values())[before:]:
            for part in (part for upload in result.uploads for part in upload):
                if part.filename is not None:
                    assert part.content in self.written[part.filename]
                    assert self.own.get(part.filename) in (None, part.content)

    @invariant()
    def nothing_of_the_person_is_changed(self) -> None:
        found = self.everything()
        assert {name: found.get(name) for name in self.own} == self.own
        assert contents(self.elsewhere) == {"mine.txt": b"mine"}

    @invariant()
    def nothing_is_listed_that_no_run_wrote(self) -> None:
        for artifact in ResultDirectory(self.result_dir).artifacts():
            name = artifact["filename"]
            content = (self.result_dir / name).read_bytes()
            assert name == "bundle.json.gz" or content in self.written[name]


@pytest.mark.slow
def test_nothing_that_a_person_keeps_in_a_result_directory_is_ever_changed(
    compose: ComposeStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)  # slow, and of no use to a file that is not kept
    inputs = (fetch_bundle("meta", compose.environment()), compose.environment())
    shared = type("SharedDirectory", (Directory,), {"compose": compose, "inputs": inputs})
    run_state_machine_as_test(
        shared,
        settings=settings(
            max_examples=40,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
