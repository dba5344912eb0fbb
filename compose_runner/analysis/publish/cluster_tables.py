"""Which of a result's cluster tables Compose takes, by the rule of its backend.

Compose keeps one table, whose name follows from the specification that it stores (``neurosynth_compose/resources/
analysis.py``, ``select_cluster_table_for_specification``), and makes points in NeuroStore of its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from compose_runner.analysis.compute.map_names import parse

ENDING = "_tab-clust.tsv"
_COMPARISONS = ("z_desc-group1MinusGroup2", "z_desc-association", "z_desc-uniformity")
_MASS = ("z_desc-group1MinusGroup2Mass", "z_desc-associationMass")
_MONTE_CARLO = "_corr-FWE_method-montecarlo"
_DEFAULT_METHODS = {"FDR": "indep", "FWE": "bonferroni"}


def expected_targets(specification: object) -> list[str]:
    """Name the maps whose cluster table Compose takes, the one that it prefers first.

    Parameters
    ----------
    specification : object
        The document that Compose stores.
    """
    document = specification if isinstance(specification, Mapping) else {}
    pairwise = any(word in _type(document.get("estimator")) for word in ("subtraction", "chi2", "pairwise"))
    corrector = document.get("corrector")
    kind = _type(corrector).removesuffix("corrector").upper()
    if not kind:
        return [*_COMPARISONS, "z"] if pairwise else ["z"]
    args = corrector.get("args") if isinstance(corrector, Mapping) else None
    method = args.get("method") if isinstance(args, Mapping) else None
    method = str(method or _DEFAULT_METHODS.get(kind, ""))
    if kind == "FWE" and method == "montecarlo":
        if pairwise:
            mass = [f"{name}_level-cluster{_MONTE_CARLO}" for name in _MASS]
            return mass + [f"{name}_level-voxel{_MONTE_CARLO}" for name in _COMPARISONS[:2]]
        clusters = [f"z_desc-{statistic}_level-cluster{_MONTE_CARLO}" for statistic in ("mass", "size")]
        return [*clusters, f"z_level-voxel{_MONTE_CARLO}"]
    return [f"{name}_corr-{kind}_method-{method}" for name in (_COMPARISONS if pairwise else ("z",))]


def selected_table(names: Sequence[str], specification: object) -> str | None:
    """Choose the table that Compose takes of those that it is sent.

    Parameters
    ----------
    names : sequence of str
        Names of the files.
    specification : object
        The document that Compose stores.
    """
    for target in expected_targets(specification):
        for name in sorted(names, key=str.lower):
            if name.lower().endswith(f"{target}{ENDING}".lower()):
                return name
    return None


def table_to_send_again(
    names: Sequence[str], described: Sequence[str], specification: object
) -> tuple[str, str] | None:
    """Find a table that has to be sent under another name as well, for Compose to find one.

    NiMARE names the maps of some corrections otherwise than Compose expects: those of MKDAChi2 with FDR, and those of
    BalancedALESubtraction.

    Parameters
    ----------
    names : sequence of str
        Names of the tables that have a row.
    described : sequence of str
        The maps in the order in which they were described.
    specification : object
        The document that Compose stores.

    Returns
    -------
    tuple of (str, str), or None
        The table's name and the name that Compose expects; None when it finds one, or there is none.
    """
    if selected_table(names, specification) is not None:
        return None
    expected = {_effect(target): target for target in reversed(expected_targets(specification))}
    for target in described:
        if f"{target}{ENDING}" in names and _effect(target) in expected:
            return f"{target}{ENDING}", f"{expected[_effect(target)]}{ENDING}"
    return None


def _effect(target: str) -> str | None:
    """What a map tests; a comparison of groups of equal size is one of groups."""
    name = parse(target)
    return None if name is None else name.effect.replace("balancedGroup", "group")


def _type(part: Any) -> str:
    return str(part.get("type") or "").strip().lower() if isinstance(part, Mapping) else ""
