"""The jobs that both runners compute, as documents of Compose and NeuroStore.

The studysets and annotations are real (:data:`benchmarks.paths.RECORDED`). The peer asks for results and a project that
no job needs and that were not recorded for the larger meta-analysis, so they are made up here: without them it could
not be measured at all.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.document_server import COMPOSE_HOST, STORE_HOST
from benchmarks.paths import RECORDED

if TYPE_CHECKING:
    from benchmarks.document_server import DocumentServer

Document = dict[str, Any]

SEED = 1
FIRST_GROUP = 27
_FDR = {"type": "FDRCorrector", "args": {"method": "indep", "alpha": 0.05}}
_MKDA = {"null_method": "approximate", "n_iters": 5000, "kernel__r": 10, "kernel__value": 1}
_ALE = {"null_method": "approximate", "n_iters": 5000, "kernel__fwhm": 8, "kernel__sample_size": None}
_CHI2 = {"prior": 0.5, "kernel__r": 10, "kernel__value": 1}


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the comparison of whole processes.

    Parameters
    ----------
    name : str
        How the command line calls it.
    title : str
        What it is.
    large : bool
        On the 52 studies, otherwise on the five.
    estimator : str
        NiMARE's class.
    args : dict
        Its arguments, as Compose's form sends them.
    corrector : dict
        As Compose stores it.
    rounds : int
        Rounds of a full run.
    goal : float or None
        Times as fast as the peer.
    grouped : bool
        Two groups, of 27 and 25 studies.
    with_report : bool
        Measured with our report as well.
    """

    name: str
    title: str
    large: bool
    estimator: str
    args: Document
    corrector: Document
    rounds: int
    goal: float | None = None
    grouped: bool = False
    with_report: bool = False

    @property
    def meta_analysis_id(self) -> str:
        """Id under which the stand-in serves it."""
        return f"benchmark-{self.name}"

    def specification(self, most_iterations: int | None = None) -> Document:
        """Make the specification as Compose serves it.

        Parameters
        ----------
        most_iterations : int, optional
            Bound of the corrector's permutations, for a quick look.
        """
        corrector = copy.deepcopy(self.corrector)
        if most_iterations is not None and "n_iters" in corrector["args"]:
            corrector["args"]["n_iters"] = min(most_iterations, corrector["args"]["n_iters"])
        return {
            "id": "benchmark",
            "type": "CBMA",
            # the seed makes both runners draw the same permutations, so that their maps can be compared
            "estimator": {"type": self.estimator, "args": {**self.args, "**kwargs": self._seed}},
            "corrector": corrector,
            "database_studyset": None,
            "filter": "half" if self.grouped else "included",
            "conditions": ["first", "second"] if self.grouped else ["true"],
            "weights": [1.0, -1.0] if self.grouped else [1.0],
        }

    @property
    def _seed(self) -> Document:
        return {"random_state": SEED} if self.corrector["args"].get("method") == "montecarlo" else {}


def _montecarlo(n_iters: int) -> Document:
    args: Document = {"method": "montecarlo", "voxel_thresh": 0.001, "n_iters": n_iters, "n_cores": 1}
    return {"type": "FWECorrector", "args": args}


def _fdr(name: str, title: str, **more: Any) -> Job:
    return Job(name, title, corrector=_FDR, with_report=True, **more)


JOBS = (
    _fdr(
        "smallest",
        "5 studies, MKDADensity + FDR",
        large=False,
        estimator="MKDADensity",
        args=_MKDA,
        rounds=5,
        goal=3.0,
    ),
    _fdr(
        "studies-52",
        "52 studies, MKDADensity + FDR",
        large=True,
        estimator="MKDADensity",
        args=_MKDA,
        rounds=5,
        goal=3.0,
    ),
    _fdr(
        "chi2-fdr",
        "27 against 25 studies, MKDAChi2 + FDR",
        large=True,
        estimator="MKDAChi2",
        args=_CHI2,
        rounds=3,
        goal=4.0,
        grouped=True,
    ),
    Job("ale-200", "52 studies, ALE + FWE, 200 permutations", True, "ALE", _ALE, _montecarlo(200), 3),
    Job("ale-1000", "52 studies, ALE + FWE, 1,000 permutations", True, "ALE", _ALE, _montecarlo(1000), 2),
    Job("mkda-200", "52 studies, MKDADensity + FWE, 200 permutations", True, "MKDADensity", _MKDA, _montecarlo(200), 3),
    Job(
        "chi2-50",
        "27 against 25 studies, MKDAChi2 + FWE, 50 permutations",
        True,
        "MKDAChi2",
        _CHI2,
        _montecarlo(50),
        2,
        grouped=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Documents:
    """Studysets and annotations of both sizes.

    Parameters
    ----------
    small, large : tuple of (dict, dict)
        Studyset and annotation.
    """

    small: tuple[Document, Document] = field(repr=False)
    large: tuple[Document, Document] = field(repr=False)


def documents() -> Documents:
    """Read the recorded documents."""
    large = _read("n45qe4g5nrFw", "mmaYdBWkKPoQ")
    return Documents(_read("ToisksSserJp", "CeQLLXWepB3J"), (large[0], with_halves(*large)))


def _read(studyset: str, annotation: str) -> tuple[Document, Document]:
    store = RECORDED / STORE_HOST / "api"
    return (
        json.loads((store / "studysets" / f"{studyset}.json").read_text()),
        json.loads((store / "annotations" / f"{annotation}.json").read_text()),
    )


def with_halves(studyset: Document, annotation: Document) -> Document:
    """Add a column that splits the studies into a first group and the rest.

    Parameters
    ----------
    studyset, annotation : dict
        They are not changed.
    """
    first = {study["id"] for study in studyset["studies"][:FIRST_GROUP]}
    group = {
        analysis["id"]: "first" if study["id"] in first else "second"
        for study in studyset["studies"]
        for analysis in study["analyses"]
    }
    annotation = copy.deepcopy(annotation)
    annotation["note_keys"]["half"] = {"type": "string", "order": len(annotation["note_keys"])}
    for note in annotation["notes"]:
        note["note"]["half"] = group.get(note["analysis"], "")
    return annotation


def serve_job(job: Job, given: Documents, server: DocumentServer, most_iterations: int | None = None) -> None:
    """Put everything that either runner asks for on the server.

    Parameters
    ----------
    job : Job
        What to serve.
    given : Documents
        Its data.
    server : DocumentServer
        Where.
    most_iterations : int, optional
        Bound of the corrector's permutations.
    """
    studyset, annotation = given.large if job.large else given.small
    name = job.meta_analysis_id
    snapshots = {"snapshot_studyset_id": f"{name}-studyset", "snapshot_annotation_id": f"{name}-annotation"}
    owner = {"created_at": "2026-01-01T00:00:00+00:00", "updated_at": None, "user": "user-1", "username": "A User"}
    result, project = f"{name}-result", f"{name}-project"
    meta_analysis = {
        "id": name,
        **owner,
        "name": job.title,
        "description": "",
        "public": True,
        "provenance": None,
        "tags": [],
        "specification": job.specification(most_iterations),
        "project": project,
        "run_key": "benchmark",
        "snapshots": [{"result_id": result, **snapshots}],
        "results": [result],
        "neurostore_studyset": {"id": studyset["id"], "studysets": [{"id": f"{name}-studyset", "md5": None}]},
        "neurostore_annotation": {"id": annotation["id"], "annotations": [{"id": f"{name}-annotation", "md5": None}]},
    }
    server.put(f"meta-analyses/{name}", meta_analysis)
    server.put(f"meta-analysis-results/{result}", {"id": result, "meta_analysis_id": name, **snapshots})
    server.put(
        f"projects/{project}",
        {
            "id": project,
            **owner,
            "name": "",
            "meta_analyses": [name],
            "neurostore_studyset_id": studyset["id"],
            "neurostore_annotation_id": annotation["id"],
        },
    )
    for entity, content in (("studyset", studyset), ("annotation", annotation)):
        path = f"snapshot-{entity}s/{name}-{entity}"
        server.put(path, {"id": f"{name}-{entity}", "snapshot": content}, host=COMPOSE_HOST)
        server.put(f"{entity}s/{content['id']}", content, host=STORE_HOST)
