"""NiMARE's names of maps in words: "Cluster-mass corrected (FWE, 5,000 permutations)".

A name is a value and entities, as in BIDS: ``z_desc-mass_level-cluster_corr-FWE_method-montecarlo``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from compose_runner.analysis.write.markdown import markdown

if TYPE_CHECKING:
    from collections.abc import Mapping

VALUES: Mapping[str, str] = {
    "z": "z",
    "p": "p",
    "logp": "−log10 p",
    "t": "t",
    "stat": "statistic",
    "chi2": "χ²",
    "prob": "probability",
    "est": "effect size",
    "se": "standard error",
    "tau2": "variance between studies (τ²)",
    "sigma2": "variance within studies (σ²)",
    "dof": "degrees of freedom",
    "label": "numbers of clusters",
}
"""What the value of a map is called."""

STATISTICS: Mapping[str, str] = {
    "ALE": "ALE value",
    "SCALE": "ALE value",
    "ALESubtraction": "difference of ALE values",
    "BalancedALESubtraction": "difference of ALE values",
    "MKDADensity": "weighted share of studies",
    "KDA": "sum of foci nearby",
}
"""What an estimator's ``stat`` is."""

_GROUP1, _GROUP2 = 0, 1
_Words = tuple[str | int, ...]  # an int stands for a group's name
_COMPARED: Mapping[str, tuple[_Words, str]] = {
    "group1MinusGroup2": (
        ("More consistent in ", _GROUP1, " than in ", _GROUP2),
        "Negative values: more consistent in the second group.",
    ),
    "balancedGroup1MinusGroup2": (
        ("More consistent in ", _GROUP1, " than in ", _GROUP2, ", groups of equal size"),
        "Negative values: more consistent in the second group.",
    ),
    "conjunction": (("Consistent in both ", _GROUP1, " and ", _GROUP2), ""),
    "group1": (("Consistent in ", _GROUP1), ""),
    "group2": (("Consistent in ", _GROUP2), ""),
    "association": (
        ("More consistent in ", _GROUP1, " than in ", _GROUP2),
        "NiMARE's association test. Negative values: more consistent in the second group.",
    ),
    "uniformity": (
        ("Consistent in ", _GROUP1, " (uniformity test)"),
        "Compared with foci that are spread evenly over the brain.",
    ),
    "A": (("Probability of activation in any study",), ""),
    "AgF": (("Probability of activation in a study of ", _GROUP1), ""),
    "AgU": (("Probability of activation in a study of ", _GROUP2), ""),
    "FgA": (("Probability that a study with activation is of ", _GROUP1), ""),
}
_METHODS: Mapping[tuple[str, str], str] = {
    ("FWE", "montecarlo"): "permutations",
    ("FWE", "bonferroni"): "Bonferroni",
    ("FWE", "predictive"): "thresholds predicted by a trained model",
    ("FDR", "indep"): "Benjamini-Hochberg",
    ("FDR", "negcorr"): "Benjamini-Yekutieli",
}
# values that no test gave, so that nothing could be corrected
_DESCRIPTIVE = frozenset({"stat", "chi2", "prob", "est", "se", "tau2", "sigma2", "dof"})
_CLUSTER_STATISTICS = ("size", "mass")
_NAMED = ("desc", "level", "corr", "method", "tail")


@dataclass(frozen=True)
class Heading:
    """A heading, with names of groups that stand out.

    Parameters
    ----------
    parts : tuple of (str, bool)
        Text, and whether it is somebody's own name of a group; plain, not escaped.
    quantity : str
        What the values are: ``"z"``.
    note : str
        A sentence for below the heading, or nothing.
    known : bool
        Whether the name was understood; else the heading is the name itself.
    """

    parts: tuple[tuple[str, bool], ...]
    quantity: str
    note: str = ""
    known: bool = True

    def __str__(self) -> str:
        """Plain text."""
        return "".join(text for text, _ in self.parts)

    def __html__(self) -> str:
        """HTML with groups in italics, escaped; Jinja and markupsafe use it by themselves."""
        return str(Markup("").join(Markup("<em>{}</em>").format(t) if own else escape(t) for t, own in self.parts))

    @property
    def markdown(self) -> str:
        """Markdown with groups in italics, escaped."""
        return "".join(f"*{markdown(text)}*" if own else markdown(text) for text, own in self.parts)


def map_heading(
    name: str,
    *,
    estimator: str = "",
    groups: tuple[str, str] = ("", ""),
    n_iters: int | None = None,
) -> Heading:
    """Say in words what a map is.

    Parameters
    ----------
    name : str
        NiMARE's name.
    estimator : str
        NiMARE's class: decides what ``stat`` is called.
    groups : tuple of (str, str)
        What the groups are called; empty ones are "group 1" and "group 2".
    n_iters : int, optional
        Permutations of the correction.

    Returns
    -------
    Heading
        For a name that is not known, the name itself.
    """
    parsed = _parse(name)
    if parsed is None:
        return Heading(((name, False),), "value", known=False)
    value, entities, prior = parsed
    described = entities.get("desc", "")
    statistic = ""
    for candidate in _CLUSTER_STATISTICS:
        if described.lower().endswith(candidate) and entities.get("level") == "cluster":
            described, statistic = described[: -len(candidate)], candidate
    what, note = _COMPARED.get(described, ((), ""))
    correction = _correction(entities, statistic, n_iters)
    if (described and not what) or correction is None:
        return Heading(((name, False),), VALUES[value], known=False)
    called = tuple(group or f"group {number}" for number, group in enumerate(groups, start=1))
    if tail := entities.get("tail"):
        what, note, ending = _one_tail(described, what, tail)
    else:
        ending = ""
    own = [(called[word], True) if isinstance(word, int) else (word, False) for word in what]
    if prior:
        own.append((" (with the prior)", False))
    quantity = STATISTICS.get(estimator, VALUES[value]) if value == "stat" else VALUES[value]
    words = [] if value in _DESCRIPTIVE and not entities.get("corr") else [correction]
    if value == "label":
        words.insert(0, "clusters")
    elif value != "z":
        words.append(quantity)
    text = ", ".join(word if number == 0 else _lower(word) for number, word in enumerate(words))
    own.append((f": {_lower(text)}{ending}" if own else f"{text[:1].upper()}{text[1:]}{ending}", False))
    return Heading(tuple(own), quantity, note)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _parse(name: str) -> tuple[str, dict[str, str], bool] | None:
    value, *rest = name.split("_")
    prior = bool(rest) and rest[-1] == "prior"
    entities = {}
    for word in rest[: -1 if prior else None]:
        key, dash, entity = word.partition("-")
        if not dash or not entity or key not in _NAMED or key in entities:
            return None
        entities[key] = entity
    return (value, entities, prior) if value in VALUES else None


def _correction(entities: Mapping[str, str], statistic: str, n_iters: int | None) -> str | None:
    """What was corrected and how; None for an unknown method."""
    corr, method = entities.get("corr", ""), entities.get("method", "")
    if not corr:
        return "Uncorrected"
    how = _METHODS.get((corr, method))
    level = entities.get("level", "voxel")
    if how is None or level not in ("voxel", "cluster"):
        return None
    if method == "montecarlo" and n_iters:
        how = f"{n_iters:,} permutations"
    where = f"Cluster-{statistic}" if level == "cluster" and statistic else f"{level.capitalize()}-wise"
    return f"{where} corrected ({corr}, {how})"


def _one_tail(described: str, what: _Words, tail: str) -> tuple[_Words, str, str]:
    """Say which tail: by the groups' order where two are compared, else by its name."""
    compared = described.endswith("inusGroup2") or described == "association"
    if compared and tail == "negative":
        swapped = tuple({_GROUP1: _GROUP2, _GROUP2: _GROUP1}.get(w, w) if isinstance(w, int) else w for w in what)
        return swapped, "", ""
    if compared:
        return what, "", ""
    return what, "", f", {tail} tail"
