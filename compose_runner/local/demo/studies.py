"""The demo: the 21 pain studies that NiMARE's package carries, as Compose would serve them.

The studyset is NiMARE's ``nidm_pain_studyset.json``: peaks of 21 studies of pain that were shared as NIDM-Results
(Maumet et al. 2016, doi:10.1038/sdata.2016.102). NiMARE itself is not imported here.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

META_ANALYSIS_ID = "painDemoALE1"
STUDYSET_ID = "painDemoSet1"
ANNOTATION_ID = "painDemoNote"
N_ITERATIONS = 5000


def pain_studyset() -> dict[str, Any]:
    """The studyset as a NIMADS document."""
    package = find_spec("nimare")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("The demo needs NiMARE: pip install compose-runner")
    path = Path(package.origin).parent / "resources" / "nidm_pain_studyset.json"
    studyset: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for study in studyset["studies"]:
        for analysis in study["analyses"]:
            analysis["images"] = []  # they name files that are not part of the package
    studyset.update(id=STUDYSET_ID, name="21 studies of pain")
    return studyset


def annotation(studyset: dict[str, Any]) -> dict[str, Any]:
    """Every analysis of a studyset noted as included."""
    return {
        "id": ANNOTATION_ID,
        "name": "Annotation of the demo",
        "studyset": studyset["id"],
        "note_keys": {"included": {"type": "boolean", "order": 0}},
        "notes": [
            {"study": study["id"], "analysis": analysis["id"], "note": {"included": True}}
            for study in studyset["studies"]
            for analysis in study["analyses"]
        ],
    }


def specification(n_iterations: int = N_ITERATIONS) -> dict[str, Any]:
    """ALE with a Monte Carlo FWE correction, as Compose's form would write it."""
    return {
        "type": "CBMA",
        "estimator": {
            "type": "ALE",
            "args": {
                "null_method": "approximate",
                "kernel__fwhm": 8,
                "kernel__sample_size": None,
                "**kwargs": {},
            },
        },
        "corrector": {
            "type": "FWECorrector",
            "args": {
                "method": "montecarlo",
                "voxel_thresh": 0.001,
                "n_iters": n_iterations,
                "vfwe_only": False,
                "**kwargs": {},
            },
        },
        "filter": "included",
        "conditions": ["true"],
        "weights": [1.0],
        "database_studyset": None,
    }


def bundle_document(n_iterations: int = N_ITERATIONS) -> dict[str, Any]:
    """Studyset, annotation and specification in one document, as ``compose-run --bundle`` reads it."""
    studyset = pain_studyset()
    return {
        "studyset": studyset,
        "annotation": annotation(studyset),
        "specification": specification(n_iterations),
    }
