"""Whole jobs, from the start of a process to its end: the peer, ours, and ours with the report that the peer lacks."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.document_server import DocumentServer
from benchmarks.jobs import JOBS, Documents, Job, documents, serve_job
from benchmarks.paths import CACHE, REPOSITORY
from benchmarks.peer import peer_command
from benchmarks.processes import Spent, run_measured, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OURS = "from compose_runner.commands.run import run; run()"
QUICK_ITERATIONS = 10
# no goal depends on it, and drawing takes longer than everything else
ROUNDS_WITH_REPORT = 2


def our_command(job: Job, folder: Path, cores: int, *, report: bool) -> list[str]:
    """Return the command that runs one job without uploading it."""
    options = ["--no-upload", "--n-cores", str(cores), "--result-dir", str(folder), "--log-format", "json"]
    return [sys.executable, "-c", OURS, job.meta_analysis_id, *options, *([] if report else ["--no-report"])]


def measure_job(
    job: Job, server: DocumentServer, peer: Path, rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run a job in turns and compare what came out.

    Parameters
    ----------
    job : Job
        What to run; the server has its documents.
    server : DocumentServer
        Where both fetch them.
    peer : Path
        Python of the peer.
    rounds : int
        How often.
    say : callable
        Called for every round.
    """
    cores = os.cpu_count() or 1
    addresses = (server.compose_api, server.neurostore_api)
    spent: dict[str, list[Spent]] = {}
    same: dict[str, Any] = {}
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            commands = {
                "peer": peer_command(peer, *addresses, job.meta_analysis_id, folder / "peer", cores),
                "ours": our_command(job, folder / "ours", cores, report=False),
            }
            if job.with_report and number < ROUNDS_WITH_REPORT:
                commands["with report"] = our_command(job, folder / "report", cores, report=True)
            for who, command in commands.items():
                needed = run_measured(command, surroundings(**server.variables()), folder)
                spent.setdefault(who, []).append(needed)
                say(f"  {job.name} {number + 1}/{rounds} {who}: {needed.wall:.1f} s, {needed.memory_mb:.0f} MB")
            if not same:
                same = _compared(folder / "peer", folder / "ours")
    return {
        "title": job.title,
        "goal": job.goal,
        "rounds": {who: [[each.wall, each.cpu, each.memory_mb] for each in many] for who, many in spent.items()},
        "same": same,
    }


def _compared(peers: Path, ours: Path) -> dict[str, Any]:
    # in another process: this one has to stay small (see run_measured)
    command = [sys.executable, "-m", "benchmarks.outputs", str(peers), str(ours)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    same: dict[str, Any] = json.loads(done.stdout)
    return same


def measure(
    wanted: Iterable[str], peer: Path, *, rounds: int | None, quick: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure jobs.

    Parameters
    ----------
    wanted : iterable of str
        Names of jobs.
    peer : Path
        Python of the peer.
    rounds : int, optional
        Rounds of each, instead of what each job says.
    quick : bool
        One round, few permutations: to see that it works.
    say : callable
        Called for every run.

    Returns
    -------
    dict
        Under ``jobs``, the rounds of each.
    """
    given = documents()
    figures: dict[str, Any] = {"jobs": {}}
    chosen = [job for job in JOBS if job.name in set(wanted)]
    with DocumentServer() as server:
        if not quick:
            _warm(chosen, server, given, peer, say)
        for job in chosen:
            serve_job(job, given, server, QUICK_ITERATIONS if quick else None)
            figures["jobs"][job.name] = measure_job(job, server, peer, rounds or (1 if quick else job.rounds), say)
    return figures


def _warm(chosen: list[Job], server: DocumentServer, given: Documents, peer: Path, say: Callable[[str], None]) -> None:
    """Let neither side pay for a first run: compiled code on disk, files in memory.

    Compiling takes a fresh peer one run of each job; afterwards one job is enough.
    """
    known = CACHE / f"warm-{hashlib.sha256(str(peer).encode()).hexdigest()[:12]}"
    first_time = not known.exists()
    for job in JOBS if first_time else chosen[:1]:
        say(f"  {job.name}: a run of both that does not count")
        serve_job(job, given, server, 2)
        measure_job(job, server, peer, 1, lambda _: None)
    if first_time:
        known.parent.mkdir(parents=True, exist_ok=True)
        known.touch()


def medians(rounds: list[list[float]]) -> Spent:
    """Medians of wall, processor time and memory over the rounds."""
    return Spent(*(statistics.median(column) for column in zip(*rounds, strict=True)))
