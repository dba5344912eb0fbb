"""``python -m benchmarks`` (``make bench``): measure every goal, print the table, write docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks import cold_start, emulator, growth, load, page, tables, whole_processes
from benchmarks.jobs import JOBS
from benchmarks.paths import CACHE, REPOSITORY
from benchmarks.peer import PEER_PYTHON, installed_versions, peer_python

if TYPE_CHECKING:
    from collections.abc import Callable

JOB_NAMES = [job.name for job in JOBS]
SECTIONS = ["kernels", "starts", "emulator", "load", "growth"]
COLD_START_ROUNDS = 15
EMULATOR_ROUNDS = 11


def say(text: str) -> None:
    """Tell the person who waits."""
    click.echo(text, err=True)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"""\b
Examples:
  python -m benchmarks                         everything, about 25 minutes on two quiet cores
  python -m benchmarks --only smallest --rounds 9
  python -m benchmarks --quick                 one short round of everything, into .make/bench
\b
{PEER_PYTHON} names a Python that has the peer already.""",
)
@click.option(
    "--only",
    type=click.Choice(["jobs", *JOB_NAMES, *SECTIONS]),
    multiple=True,
    metavar="ROW",
    help=f"Measure this alone; can be repeated: jobs (all of {', '.join(JOB_NAMES)}), {', '.join(SECTIONS)}. "
    "What was measured before stays in the page.",
)
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds of everything that is measured in turns.")
@click.option("--quick", is_flag=True, help="One round, few permutations, small sizes: to see that it works.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where benchmarks.md, benchmarks.json and images/ go.  [default: docs; with --quick .make/bench]",
)
@click.option("--render", is_flag=True, help="Measure nothing; write the page anew from benchmarks.json.")
def main(only: tuple[str, ...], rounds: int | None, quick: bool, output: Path | None, render: bool) -> None:
    """Measure against the runner in production and against NiMARE, and write a page with tables and plots."""
    output = output or (CACHE if quick else REPOSITORY / "docs")
    output.mkdir(parents=True, exist_ok=True)
    kept = output / "benchmarks.json"
    figures: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    if not render:
        wanted = [name for name in only if name != "jobs"]
        wanted += JOB_NAMES if "jobs" in only else []
        wanted = wanted or [*JOB_NAMES, *SECTIONS]
        _measure(wanted, figures, rounds, quick, kept)
    page.write(figures, output)
    click.echo(tables.goals_table(tables.rows(figures)))
    say(f"Written: {output / 'benchmarks.md'}")


def _measure(wanted: list[str], figures: dict[str, Any], rounds: int | None, quick: bool, kept: Path) -> None:
    """Measure section by section; what is measured is kept at once."""
    python = peer_python()
    peer_versions = installed_versions(python)
    if max(os.getloadavg()[:2]) > 0.5:
        say(f"Other work is running (load {os.getloadavg()[0]:.1f}): ratios hold roughly, times do not.")
    figures["about"] = page.about(peer_versions, sys.argv[1:])

    def keep(section: str, found: Any) -> None:
        figures[section] = found
        figures.setdefault("when", {})[section] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        kept.write_text(json.dumps(figures, indent=1) + "\n")

    jobs = [name for name in wanted if name in JOB_NAMES]
    if jobs:
        say("Whole processes, in turns")
        _run("compose_runner.analysis.compute.engine.warm")
        found = whole_processes.measure(jobs, python, rounds=rounds, quick=quick, say=say)
        before = figures.get("jobs", {}).get("jobs", {})
        merged = {**before, **found["jobs"]}
        keep("jobs", {**found, "jobs": {name: merged[name] for name in JOB_NAMES if name in merged}})
    sections: dict[str, Callable[[], Any]] = {
        "kernels": lambda: _kernels(rounds or (1 if quick else 5), quick),
        "starts": lambda: cold_start.measure(
            sys.executable, str(python), rounds or (1 if quick else COLD_START_ROUNDS)
        ),
        "emulator": lambda: _emulator(python, rounds or (1 if quick else EMULATOR_ROUNDS), quick),
        "load": lambda: load.measure(*((5, 10) if quick else ())),
        "growth": lambda: growth.measure(say, quick=quick),
    }
    for name, section in sections.items():
        if name in wanted:
            say(f"Section {name}")
            try:
                keep(name, section())
            except emulator.NotBuiltError as error:
                say(f"  left out: {error}")


def _kernels(rounds: int, quick: bool) -> dict[str, Any]:
    # in another process: this one has to stay small (see processes.run_measured)
    said = _run("benchmarks.kernels", "--json", "--rounds", str(rounds), *(("--iterations", "5") if quick else ()))
    found: dict[str, Any] = json.loads(said)
    for name, row in found.items():
        say(f"  {name}: NiMARE {row['nimare_ms']:.1f} ms, ours {row['ours_ms']:.2f} ms a permutation")
    return {name: {**row, "rounds": rounds} for name, row in found.items()}


def _run(module: str, *arguments: str) -> str:
    """Run a module of ours and return what it printed; progress bars and warnings are kept back unless it fails."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return done.stdout


def _emulator(python: Path, rounds: int, quick: bool) -> dict[str, Any]:
    if not quick:  # what is there may be older than the code
        subprocess.run(["make", "--no-print-directory", "build"], cwd=REPOSITORY, check=True, stdout=sys.stderr)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, check=True).stdout
    return emulator.measure(Path(packages.strip()), rounds, say)


if __name__ == "__main__":
    main()
