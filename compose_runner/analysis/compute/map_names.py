"""NiMARE's names of z maps, and which of a result's maps are described.

A name is a value and entities, as in BIDS: ``z_desc-associationMass_level-cluster_corr-FWE_method-montecarlo``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLUSTER_STATISTICS = ("mass", "size")
# what Compose looks for, then what else a comparison of two groups tells
_EFFECTS = ("", "association", "group1MinusGroup2", "balancedGroup1MinusGroup2", "uniformity", "group1", "group2")
_ONE_GROUP = {"uniformity": 1, "group1": 1, "group2": 2}


@dataclass(frozen=True, slots=True)
class MapName:
    """What the name of a z map says.

    Parameters
    ----------
    name : str
        The name.
    effect : str
        What is tested: ``association``, ``group1MinusGroup2``; empty for one group.
    statistic : {"mass", "size", ""}
        Of clusters, what was corrected.
    level : {"cluster", "voxel", ""}
        At which level it was corrected; empty where the method has one only.
    correction : {"FDR", "FWE", ""}
        Empty for an uncorrected map.
    method : str
        How it was corrected.
    """

    name: str
    effect: str = ""
    statistic: str = ""
    level: str = ""
    correction: str = ""
    method: str = ""

    @property
    def uncorrected(self) -> str:
        """The map that was corrected."""
        return f"z_desc-{self.effect}" if self.effect else "z"

    @property
    def group(self) -> int | None:
        """The group that the map is about, 1 or 2, of two that are compared; None for their comparison."""
        return _ONE_GROUP.get(self.effect)


def parse(name: str) -> MapName | None:
    """Read a name; None when it is not that of a z map.

    Parameters
    ----------
    name : str
        As NiMARE names maps.
    """
    value, *entities = name.split("_")
    parts = dict(entity.split("-", 1) for entity in entities if "-" in entity)
    if value != "z" or len(parts) != len(entities):
        return None
    effect, statistic, level = parts.get("desc", ""), "", parts.get("level", "")
    for candidate in _CLUSTER_STATISTICS:
        if level == "cluster" and effect.lower().endswith(candidate):
            effect, statistic = effect[: -len(candidate)], candidate
    return MapName(name, effect, statistic, level, parts.get("corr", ""), parts.get("method", ""))


def described_maps(names: Iterable[str], *, corrected: bool) -> list[MapName]:
    """Choose the maps that are described, the one that Compose looks for first.

    Of each effect it is one map: of cluster mass, else of cluster size, else of voxels. MKDAChi2's ``group1`` is its
    ``uniformity`` under another name, and its ``group2`` is about a group that is there to be compared with.

    Parameters
    ----------
    names : iterable of str
        The maps that a result has.
    corrected : bool
        Whether corrected maps are described, or uncorrected ones.
    """
    z_maps = [found for found in map(parse, names) if found is not None and bool(found.correction) == corrected]
    effects = {found.effect for found in z_maps}
    if "uniformity" in effects:
        effects -= {"group1", "group2"}
    by_rank = sorted(z_maps, key=_rank)
    return [
        next(found for found in by_rank if found.effect == effect)
        for effect in sorted(effects, key=lambda effect: (_position(effect), effect))
    ]


def _rank(name: MapName) -> int:
    return _CLUSTER_STATISTICS.index(name.statistic) if name.statistic else len(_CLUSTER_STATISTICS)


def _position(effect: str) -> int:
    return _EFFECTS.index(effect) if effect in _EFFECTS else len(_EFFECTS)
