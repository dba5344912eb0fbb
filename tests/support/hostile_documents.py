"""Put hostile values into every field of a bundle, in a process that watches what is opened, asked and started.

``python -m tests.support.hostile_documents FOLDER [--all]`` prints one JSON document: how many documents were tried,
what they cost, and every violation (on standard error too, when it is found): a file opened or changed outside the
folder and the installed packages, a connection, a process, an error that is not the package's own, a document that took
too long. Without ``--all`` every field meets a few of the values, and every value some of the fields.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import sys
import sysconfig
import time
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# of a processor, and of a clock on a machine that others use as well
SECONDS, WAITED_SECONDS = 10.0, 120.0
VALUES_PER_FIELD = 1
FIT_EVERY = 100
REPOSITORY = Path(__file__).resolve().parents[2]
WRITING = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
STARTING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn")
ASKING = ("socket.connect", "socket.sendto", "socket.bind")

Field = tuple[str | int, ...]


class Watch:
    """Audit hook: what this process opens, asks and starts while it is on."""

    def __init__(self, *roots: Path) -> None:
        self.roots = [str(root) for root in roots]
        self.on = False
        self.seen: list[str] = []
        self.counts = Counter({"opened": 0, "opened_outside": 0, "asked": 0, "started": 0})
        sys.addaudithook(self._see)

    def _see(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open" or event in WRITING:
            paths = [args[0]] if event == "open" or len(args) < 2 else args[:2]
            self.counts["opened"] += 1
            for path in paths:
                if isinstance(path, str | bytes | os.PathLike) and not self._inside(os.fspath(path)):
                    self.counts["opened_outside"] += 1
                    self.seen.append(f"{event} {os.fsdecode(path)}")
        elif event in STARTING or event in ASKING:
            self.counts["started" if event in STARTING else "asked"] += 1
            self.seen.append(f"{event} {args[1:2]}")

    def _inside(self, path: str | bytes) -> bool:
        found = os.path.realpath(os.fsdecode(path)) if b"\0" not in os.fsencode(path) else "nul"
        return found == "/dev/null" or any(found == root or found.startswith(f"{root}/") for root in self.roots)


def good_bundle(image_based: bool) -> dict[str, Any]:
    """A small bundle in which every field stands that is read."""
    from tests.support import synthetic

    studyset = synthetic.random_studyset(n_studies=4, analyses_per_study=1, foci_per_analysis=2)
    for study in studyset["studies"]:
        study["metadata"] = {"sample_sizes": [20], "n": 20}
        for analysis in study["analyses"]:
            analysis["conditions"], analysis["weights"] = [{"name": "pain"}], [1.0]
            analysis["metadata"] = {"sample_size": 20}
            analysis["images"] = [{"id": "i", "url": None, "filename": "z.nii", "value_type": "Z map", "space": "MNI"}]
            for point in analysis["points"]:
                point |= {"kind": "unknown", "values": [{"kind": "Z", "value": 3.1}]}
    kind = "IBMA" if image_based else "CBMA"
    estimator = "Stouffers" if image_based else "ALE"
    specification = synthetic.specification(
        estimator, kind=kind, corrector="FWECorrector", corrector_args={"method": "bonferroni", "n_iters": 10}
    )
    ours = {"groupby": None, "resample__clip": True} if image_based else {"n_iters": 10, "kernel__fwhm": 8}
    specification["estimator"]["args"] = {"mask": None, "memory": None, "n_cores": 1, "**kwargs": {}, **ours}
    specification |= {"mask": "", "transformer": None, "database_studyset": None}
    return {
        "studyset": studyset,
        "annotation": synthetic.annotated(studyset),
        "specification": specification,
        "meta_analysis": {"id": "m", "name": "name", "origin": "live", "sources": {}, "snapshots": {"studyset": []}},
    }


def fields(document: Any, at: Field = ()) -> list[Field]:
    """Every path in a document but its root; of a list's items the first stands for all."""
    first = document[:1] if isinstance(document, list) else ()
    steps = document.items() if isinstance(document, dict) else enumerate(first)
    return [path for step, inner in steps for path in ((*at, step), *fields(inner, (*at, step)))]


def nested(depth: int) -> list[Any]:
    document: list[Any] = []
    for _ in range(depth):
        document = [document]
    return document


def hostile_values(secret: Path) -> list[Any]:
    """What no field should hold; paths and addresses end like maps, so that only their place refuses them."""
    numbers = [None, True, 0, -1, 0.5, 2**63, 10**30, 1e308, -1e308, float("nan"), float("inf"), 10**7]
    files = [str(secret), f"../{secret.name}", secret.as_uri(), "/etc/passwd", "~/x.nii", "/dev/zero", "link.nii.gz"]
    hosts = [
        "127.0.0.1:1",
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "localhost",
        "user:key@10.0.0.1",
        "0",
        "[::ffff:7f00:1]",
    ]
    texts = [
        "",
        "x" * 100_000,
        "\x1b]0;x\x07",
        "<script>alert(1)</script>",
        "=1+1",
        "a\0b",
        "\ud800",
        "../../x",
        "9" * 5000,
    ]
    shapes: list[Any] = [
        [],
        {},
        [[]],
        {"id": {}},
        [None] * 3,
        nested(70),
        nested(2000),
        ["a"] * 2000,
        {"a\0": "/etc/passwd"},
    ]
    return [*numbers, *files, *(f"http://{host}/z.nii.gz" for host in hosts), *texts, *shapes]


def with_value(document: Any, field: Field, value: Any) -> Any:
    document = copy.deepcopy(document)
    part = document
    for step in field[:-1]:
        part = part[step]
    part[field[-1]] = value
    return document


def mutations(document: Any, values: list[Any], whole: bool) -> Iterator[tuple[Field, Any]]:
    """Fields and values: all pairs, or some of each."""
    for number, field in enumerate(fields(document)):
        chosen = (
            values
            if whole
            else [values[(number * VALUES_PER_FIELD + k) % len(values)] for k in range(VALUES_PER_FIELD)]
        )
        yield from ((field, value) for value in chosen)
        location = field[-1] in ("filename", "url", "mask", "memory", "database_studyset")
        if location and not whole:
            yield from ((field, value) for value in values if isinstance(value, str))


def try_document(folder: Path, content: str, *, from_disk: bool, fit: bool) -> None:
    """From a document to what an estimator is given, as a job goes there; or to the maps."""
    from compose_runner.analysis import stages
    from compose_runner.analysis.compute.estimators import build
    from compose_runner.analysis.fetch.bundle_files import load_bundle
    from compose_runner.analysis.fetch.reach import Reach
    from compose_runner.analysis.options import JobOptions
    from compose_runner.analysis.preparation import translating_errors
    from compose_runner.analysis.write.result_directory import ResultDirectory
    from compose_runner.compose.environments import environment_named
    from compose_runner.progress import Progress
    from compose_runner.specification.parsing import parse_specification

    path = folder / "bundle" / "bundle.json"
    path.write_text(content)
    inputs = load_bundle(path)
    if not from_disk:
        inputs = replace(inputs, reach=Reach())
    specification = parse_specification(inputs.specification)
    directory = ResultDirectory(folder / "results")
    inputs.checksums()
    studies = stages.select_studies(inputs, specification, environment_named("local"), directory, Progress())
    stages.audit_inputs(studies).describe()
    build(specification, n_cores=1, seed=1)
    if fit:
        with translating_errors(specification):
            stages.compute(studies, specification, JobOptions(1), directory, Progress(), {})
    directory.write_metadata({"specification": inputs.specification, "name": inputs.name})


def main(folder: Path, whole: bool, attempt: Callable[..., None] = try_document) -> dict[str, Any]:
    """Try all mutations, and give what was seen."""
    import warnings

    from hypothesis import given, settings
    from hypothesis import strategies as st

    from compose_runner.errors import ComposeRunnerError
    from tests.support import synthetic

    warnings.simplefilter("ignore")
    begun = time.monotonic()
    (folder / "bundle").mkdir()
    outside = folder / "outside"
    outside.mkdir()
    secret = outside / "secret.nii.gz"
    secret.write_bytes(b"secret")
    (folder / "bundle" / "link.nii.gz").symlink_to(secret)
    maps = synthetic.with_maps(synthetic.random_studyset(1, analyses_per_study=1), folder / "bundle", kinds=["z"])
    one = Path(maps["studies"][0]["analyses"][0]["images"][0]["filename"])
    one.rename(folder / "bundle" / "z.nii")
    bundles = [good_bundle(image_based) for image_based in (False, True)]
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    watch = Watch(folder / "bundle", folder / "results", Path("/tmp/numba"), *installed, REPOSITORY / "compose_runner")
    for document in bundles:  # everything is imported, and these do run
        attempt(folder, json.dumps(document), from_disk=True, fit=True)
    tried: list[bool] = []  # whether each was refused
    violations: list[dict[str, Any]] = []

    def check(document: Any, field: Field, value: Any) -> None:
        started, processor = time.monotonic(), time.process_time()
        found: list[str] = []
        number = len(tried)
        tried.append(False)
        watch.seen, watch.on = [], True
        try:
            content = json.dumps(with_value(document, field, value))
            # a fit takes a second
            attempt(folder, content, from_disk=number % 2 == 1, fit=number % FIT_EVERY == 0)
        except ComposeRunnerError:
            tried[-1] = True
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)[-3:]
            where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
            found.append(f"{type(error).__name__}: {str(error)[:200]} ({where})")
        finally:
            watch.on = False
        seconds, waited = time.process_time() - processor, time.monotonic() - started
        if seconds > SECONDS or waited > WAITED_SECONDS:
            found.append(f"took {seconds:.0f} s of {waited:.0f} s")
        found += watch.seen
        for what in found:
            violations.append({"field": list(field), "value": repr(value)[:80], "what": what})
            print(violations[-1], file=sys.stderr, flush=True)

    values = hostile_values(secret)
    for document in bundles:
        for field, value in mutations(document, values, whole):
            check(document, field, value)

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(values),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
    places = [(number, field) for number, document in enumerate(bundles) for field in fields(document)]

    @settings(max_examples=1000 if whole else 40, deadline=None, database=None, derandomize=True)
    @given(st.sampled_from(places), json_values)
    def any_value_anywhere(target: tuple[int, Field], value: Any) -> None:
        check(bundles[target[0]], target[1], value)

    any_value_anywhere()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {
        "tried": len(tried),
        "refused": sum(tried),
        "violations": violations,
        **watch.counts,
        "megabytes": memory,
        "seconds": round(time.monotonic() - begun),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]).resolve(), "--all" in sys.argv)))
