"""Tables of the studies by their names: which were used, and which contribute to which cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from compose_runner.analysis.write.report.clusters import find_contributions
from compose_runner.analysis.write.report.study_names import StudyNames, find_groups
from compose_runner.analysis.write.result_record import CONTRIBUTIONS_FILENAME, STUDIES_FILENAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nimare.results import MetaResult


def studies_table(metadata: Mapping[str, Any], names: StudyNames) -> pd.DataFrame | None:
    """List all studies: used or not, and why.

    Parameters
    ----------
    metadata : mapping
        The record of the run, with ``studies``.
    names : StudyNames
        What studies are called.

    Returns
    -------
    pandas.DataFrame or None
        None where nothing is known of the studies.
    """
    known = metadata.get("studies")
    if not known:
        return None
    return pd.DataFrame(
        [
            {
                "study": names.study(str(study.get("id", ""))),
                "study_id": study.get("id"),
                "used": "yes" if study.get("in") else "no",
                "why": study.get("why"),
                "group": study.get("group"),
                "title": study.get("title"),
                "authors": study.get("authors"),
                "year": study.get("year"),
                "doi": study.get("doi"),
                "pmid": study.get("pmid"),
                "contrasts": "; ".join(str(one) for one in study.get("contrasts") or []),
                "foci": study.get("foci"),
                "foci_used": study.get("foci_used"),
                "space": study.get("space"),
                "sample_size": study.get("sample_size"),
            }
            for study in known
        ],
        dtype=object,
    )


def contributions_table(result: MetaResult, names: StudyNames) -> pd.DataFrame | None:
    """List which experiment contributes how much to which cluster, for all described maps.

    Parameters
    ----------
    result : nimare.results.MetaResult
        With its diagnostics.
    names : StudyNames
        What studies are called.

    Returns
    -------
    pandas.DataFrame or None
        None where nothing contributes.
    """
    rows = [
        {
            "map": target,
            "tail": tail,
            "cluster": cluster,
            "study": names.experiment(identity),
            "study_id": names.study_of(identity),
            "id": identity,
            "foci" if one.counted else "contribution": int(value) if one.counted else value,
        }
        for target in dict.fromkeys(diagnostic.target_image for diagnostic in result.diagnostics)
        for one in find_contributions(result, target)
        for place, (tail, cluster) in enumerate(one.clusters)
        for identity, values in one.rows
        if (value := values[place])
    ]
    return pd.DataFrame(rows, dtype=object) if rows else None


def study_tables(result: MetaResult, metadata: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Make both tables.

    Parameters
    ----------
    result : nimare.results.MetaResult
        What was computed.
    metadata : mapping
        The record of the run.

    Returns
    -------
    dict of str to pandas.DataFrame
        By the name of its file; a table without a row is not there.
    """
    names = StudyNames(metadata.get("studies") or (), find_groups(result))
    tables = {
        STUDIES_FILENAME: studies_table(metadata, names),
        CONTRIBUTIONS_FILENAME: contributions_table(result, names),
    }
    return {name: table for name, table in tables.items() if table is not None}
