"""How Compose chooses among the tables of an upload, written from the description of its backend in the contract.

It takes one cluster table by name, ``<target>_tab-clust.tsv``, and the first diagnostic table. Of several targets the
first that has a table counts.
"""

from __future__ import annotations

from typing import Any

SUFFIX = "_tab-clust.tsv"
TWO_GROUPS = frozenset({"MKDAChi2", "ALESubtraction", "BalancedALESubtraction"})
MONTE_CARLO = "corr-FWE_method-montecarlo"
EFFECTS = ("group1MinusGroup2", "association", "uniformity")


def targets(specification: dict[str, Any]) -> list[str]:
    """List the maps whose table is looked for, the preferred one first."""
    two_groups = specification["estimator"]["type"] in TWO_GROUPS
    corrector = specification["corrector"]
    if corrector is None:
        return [f"z_desc-{effect}" for effect in EFFECTS] if two_groups else ["z"]
    family = {"FDRCorrector": "FDR", "FWECorrector": "FWE"}[corrector["type"]]
    method = corrector["args"].get("method") or {"FDR": "indep", "FWE": "bonferroni"}[family]
    if (family, method) == ("FWE", "montecarlo"):
        if two_groups:
            masses = [f"z_desc-{effect}Mass_level-cluster_{MONTE_CARLO}" for effect in EFFECTS[:2]]
            return [*masses, *(f"z_desc-{effect}_level-voxel_{MONTE_CARLO}" for effect in EFFECTS[:2])]
        clusters = [f"z_desc-{statistic}_level-cluster_{MONTE_CARLO}" for statistic in ("mass", "size")]
        return [*clusters, f"z_level-voxel_{MONTE_CARLO}"]
    corrected = f"corr-{family}_method-{method}"
    # of two groups, Compose looks for the effects that it looks for without a corrector
    return [f"z_desc-{effect}_{corrected}" for effect in EFFECTS] if two_groups else [f"z_{corrected}"]


def taken(parts: list[tuple[str, Any]], specification: dict[str, Any]) -> tuple[str, str] | None:
    """Find the cluster table that Compose takes of an upload.

    Returns
    -------
    tuple of (str, str), or None
        Its name, and its text.
    """
    tables = {part[0]: part[1].decode("utf-8") for field, part in parts if field == "cluster_tables"}
    for target in targets(specification):
        if f"{target}{SUFFIX}" in tables:
            return f"{target}{SUFFIX}", tables[f"{target}{SUFFIX}"]
    return None


def first_diagnostic(parts: list[tuple[str, Any]]) -> str | None:
    """Name the diagnostic table that Compose keeps."""
    return next((part[0] for field, part in parts if field == "diagnostic_tables"), None)
