"""The page of figures: docs/benchmarks.md with its pictures."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import tables
from benchmarks.peer import PEER_PYTHON, REQUIREMENT, installed_versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INTRODUCTION = f"""# Benchmarks

Made by `make bench`. The peer is the runner in production, `{REQUIREMENT.replace("[aws]", "")}`, which the
benchmark installs into an environment of its own. Ratios are peer / ours (NiMARE / ours for kernels): 2× is twice as
fast, or half the memory."""

METHOD = f"""## How it is measured

- **Whole processes.** From the start of a process to its end, result files written, nothing uploaded: imports,
  fetching from a server on this machine, fit, correction, diagnostics, files. Peer and ours run in turns; a ratio
  is taken within a round, and the table has the median over the rounds. Neither can reach a network. Both run on
  all cores. Byte code and compiled kernels are on disk for both. The peer's command has no option for the services'
  addresses, so it is started by three lines that set them and call its `run`. It asks for result and project
  documents that no job needs; they are made up on the server, or it could not be measured.
- **The same work.** The peer draws no report, so ours is run with `--no-report`; rows with the report are shown
  beside it. Both get the same seed, and every map and table of the peer's is compared with ours (within 1e-6).
- **Peak memory** is that of the largest process. Where the peer spreads permutations over processes, it needs more
  than is shown.
- **Kernels.** NiMARE's own step and ours in one process on one core, the same draws, processor time; results that are
  not the same end the run. The numbers of studies and foci are those of the 52-study job.
- **Cold starts.** From the start of a process to the first answer, each time a new one, with the answers of AWS
  from a stub on this machine; under Lambda's emulator with what `sam build` made, and as a bare process. The layer
  carries boto3 at the pinned version, as the peer's environment does. Structured logs, tracing, metrics and
  validation are on in ours; the goal is at most 1.4 times the peer's time (0.71×). Other work on the machine adds to
  the wall time, hardly to the processor time. Fetching the package and starting the sandbox are Lambda's and not
  measured.
- **Growth.** Our kernels under an FWE correction with cluster sizes, foci from a seed all over the brain. The
  dotted lines are what `compose_runner.analysis.compute.prediction` says beforehand.
- `{PEER_PYTHON}` names a Python that has the peer already. `python -m benchmarks --help` tells the rest. All
  figures, each round's, are in [`benchmarks.json`](benchmarks.json)."""


def about(peer_versions: dict[str, str], arguments: Sequence[str]) -> dict[str, Any]:
    """What has to be known of a measurement: machine, versions, command, other work."""
    return {
        "command": " ".join(["python -m benchmarks", *arguments]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[1], 2),
        "versions": {"peer": peer_versions, "ours": installed_versions(Path(sys.executable))},
    }


def processor() -> str:
    """Name of the processor."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write(figures: dict[str, Any], folder: Path) -> None:
    """Write the page and its pictures.

    Parameters
    ----------
    figures : dict
        Sections by name.
    folder : Path
        Where ``benchmarks.md`` and ``images/`` go.
    """
    from benchmarks import plots  # not before the measurements: this process has to be small while they run

    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    plots.draw_ratios(tables.rows(figures), images / "benchmarks.svg")
    plots.draw_growth(figures.get("growth", []), images / "benchmarks-growth.svg")
    (folder / "benchmarks.md").write_text("\n\n".join(_parts(figures)) + "\n", encoding="utf-8")


def _parts(figures: dict[str, Any]) -> Iterator[str]:
    yield INTRODUCTION
    yield _circumstances(figures)
    all_rows = tables.rows(figures)
    if all_rows:
        yield "![Ratios and goals](images/benchmarks.svg)"
        yield "## Goals\n\n" + tables.goals_table(all_rows)
    if "jobs" in figures:
        yield "## Whole processes\n\nDocuments of real meta-analyses; medians.\n\n" + tables.jobs_table(figures)
    if "kernels" in figures:
        yield "## Kernels\n\n" + tables.kernels_table(figures)
    if "starts" in figures or "emulator" in figures:
        yield "## Starts of the functions\n\n" + tables.starts_table(figures)
    if "load" in figures:
        yield _load(figures["load"])
    if "growth" in figures:
        picture = "![Growth](images/benchmarks-growth.svg)"
        yield f"## Growth\n\n{picture}\n\n" + tables.growth_table(figures["growth"])
    yield METHOD


def _circumstances(figures: dict[str, Any]) -> str:
    known = figures.get("about")
    if known is None:
        return "Nothing has been measured yet."
    versions = known["versions"]
    names = [name for name in versions["ours"] if name != "compose-runner"]
    body = [(name, versions["peer"].get(name, ""), versions["ours"][name]) for name in ("compose-runner", *names)]
    when = sorted(set(figures.get("when", {}).values()))
    span = f"{when[0]} to {when[-1]} UTC" if when else known["date"]
    machine = f"{known['processor']}, {known['cores']} cores, {known['memory_gb']} GB, {known['system']}"
    return (
        f"Measured {span} with `{known['command']}` on {machine}; load before the start {known['load']}.\n\n"
        + tables.markdown(("versions", "peer", "ours"), body)
    )


def _load(load: dict[str, Any]) -> str:
    problems = f"{len(load['problems'])} problems" if load["problems"] else "none lost, none mixed up, no 5xx"
    return (
        "## The service on one machine under load\n\n"
        f"{load['clients']} clients submit {load['jobs']} jobs of a stub task (0.1 s) and poll: "
        f"{load['finished']} finished in {load['seconds']:.0f} s ({load['jobs_per_second']:.1f} jobs and "
        f"{load['requests_per_second']:.0f} requests a second), {problems}.\n\n" + tables.load_table(load)
    )
