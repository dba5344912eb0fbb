"""Records of runs as ``metadata.json`` has them, for results that no run made."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nimare.results import MetaResult


def record_of(result: MetaResult, studyset: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Make the record of a coordinate-based result of one group: what went in, and what was found out about it.

    Parameters
    ----------
    result : nimare.results.MetaResult
        A fitted result.
    studyset : mapping
        The document that it was made of, as NeuroStore serves it.
    **more
        Further parts of the record.
    """
    foci = result.estimator.inputs_["coordinates"]
    per_study = Counter(foci["study_id"].astype(str))
    studies = [
        {
            "id": study["id"],
            "title": study["name"],
            "authors": study.get("authors"),
            "year": study.get("year"),
            "doi": study.get("doi"),
            "pmid": study.get("pmid"),
            "group": "first",
            "in": study["id"] in per_study,
            "why": "" if study["id"] in per_study else "it has no coordinates",
            "contrasts": [analysis["name"] for analysis in study["analyses"]],
            "foci": sum(len(analysis["points"]) for analysis in study["analyses"]),
            "foci_used": per_study[study["id"]],
            "space": "MNI",
            "sample_size": 20,
        }
        for study in studyset["studies"]
    ]
    n_analyses = sum(len(study["analyses"]) for study in studyset["studies"])
    every = {"studies": len(studies), "analyses": n_analyses}
    group = {
        "studyset": every,
        "selected": every,
        "with_foci": {"studies": len(per_study), "analyses": len(per_study)},
        "used": {
            "studies": len(per_study),
            "experiments": len(result.estimator.inputs_["id"]),
            "foci": len(foci),
            "participants": 20 * len(per_study),
        },
        "foci": {
            "listed": sum(study["foci"] for study in studies),
            "without_coordinates": 0,
            "spaces": {"MNI": len(foci)},
            "converted": 0,
            "taken_as_mni": 0,
            "outside_mask": 0,
            "duplicates": 0,
            "used": len(foci),
        },
    }
    return {
        "studies": studies,
        "accounting": {"first": group},
        "audit": [],
        "diagnostics": [
            {
                "type": type(one).__name__,
                "target_image": one.target_image,
                "target_threshold": one.target_threshold,
                "cluster_threshold": one.cluster_threshold,
                "alpha": 0.05,
                "tails": 1,
                "corrected": "_corr-" in one.target_image,
            }
            for one in result.diagnostics
        ],
        **more,
    }
