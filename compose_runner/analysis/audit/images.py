"""What may mislead in the maps of an image-based meta-analysis."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from compose_runner.analysis.audit.codes import finding
from compose_runner.analysis.select.foci import MNI, parse_space
from compose_runner.analysis.select.images import NO_PROBABILITIES, OUTSIDE_BRAIN
from compose_runner.analysis.wording import counted, frequencies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compose_runner.analysis.audit.inputs import Inputs
    from compose_runner.analysis.select.images import StagedMap
    from compose_runner.findings import Finding

# beyond 38 a z value's p is below the smallest number of double precision
_LARGEST = {"z": 38.0, "t": 1_000.0}
_NEEDS_Z = frozenset({"Fishers", "Stouffers"})
_SHOWN = 3
# maps that each estimator computes from; those that need sample sizes as well
_NEEDED: dict[str, tuple[str, ...]] = {
    "Fishers": ("z",),
    "Stouffers": ("z",),
    "WeightedLeastSquares": ("beta", "varcope"),
    "DerSimonianLaird": ("beta", "varcope"),
    "Hedges": ("beta", "varcope"),
    "VarianceBasedLikelihood": ("beta", "varcope"),
    "SampleSizeBasedLikelihood": ("beta",),
    "PermutedOLS": ("beta",),
    "FixedEffectsHedges": ("t",),
}
_NEED_SIZES = frozenset({"SampleSizeBasedLikelihood", "FixedEffectsHedges"})
_SIZE = "sample size"
# what NiMARE 0.22 makes a map of, as nimare.transforms.resolve_transforms does
_CONVERSIONS: tuple[tuple[str, frozenset[str]], ...] = (
    ("z", frozenset({"p"})),
    ("z", frozenset({"t", _SIZE})),
    ("t", frozenset({"z", _SIZE})),
    ("varcope", frozenset({"se"})),
    ("varcope", frozenset({"sd", _SIZE})),
    ("varcope", frozenset({"t", "beta"})),
    ("beta", frozenset({"t", "varcope"})),
)
_FEWEST_ANALYSES = 2


def find(inputs: Inputs) -> Iterator[Finding]:
    """Look at the maps of the selected analyses."""
    if inputs.staged is None:
        return
    maps = inputs.staged.maps
    used = [one for one in maps if one.path is not None]
    yield from _unusable(inputs, used)
    yield from _left_out(inputs, maps)
    yield from _by_analysis(inputs, used)
    yield from _space(inputs, used)
    yield from _repeated(inputs, used)
    yield from _implausible(inputs, used)


def _titles(inputs: Inputs, maps: list[StagedMap]) -> list[str]:
    return inputs.titles_of_ids([one.study_id for one in maps], inputs.all_groups[0])


def _left_out(inputs: Inputs, maps: tuple[StagedMap, ...]) -> Iterator[Finding]:
    for code, reason in (("images-outside-brain", OUTSIDE_BRAIN), ("images-p-not-probabilities", NO_PROBABILITIES)):
        if found := [one for one in maps if one.reason == reason]:
            largest = max(one.values.highest for one in found if one.values is not None)
            words = {"maps": counted(len(found), "map"), "largest": f"{largest:.3g}"}
            yield finding(code, _titles(inputs, found), len(found), **words)
    served = {(one.study_id, one.analysis_id) for one in maps if one.path is not None}
    unread = [
        one
        for one in maps
        if one.path is None
        and one.reason not in (OUTSIDE_BRAIN, NO_PROBABILITIES)
        # what a better map of the same analysis takes the place of is no loss
        and ((one.study_id, one.analysis_id) not in served or (one.kind is not None and not one.superseded))
    ]
    if unread:
        reasons = frequencies(Counter(f"{one.value_type}: {one.reason}" for one in unread))
        maps_ = counted(len(unread), "map")
        yield finding("images-not-read", _titles(inputs, unread), len(unread), maps=maps_, reasons=reasons)


def _unusable(inputs: Inputs, used: list[StagedMap]) -> Iterator[Finding]:
    """Refuse maps from which the estimator cannot compute: it would find out after an earlier result is removed."""
    name = inputs.specification.estimator.name
    sized = {inputs.keys[at] for at in inputs.selected if inputs.stated(at).sizes}
    held: dict[tuple[str, str], set[str]] = {}
    for one in used:
        key = one.study_id, one.analysis_id
        held.setdefault(key, {_SIZE} if key in sized else set()).add(one.kind or "")
    needed = {*_NEEDED.get(name, ()), *((_SIZE,) if name in _NEED_SIZES else ())}
    fit = sum(needed <= _with_conversions(has) for has in held.values())
    if fit >= _FEWEST_ANALYSES:
        return
    there = Counter(_listed(has) for has in held.values())
    wanted = " and ".join(f"a {kind}" if kind == _SIZE else f"a {kind} map" for kind in sorted(needed))
    reason = (
        f"{name} needs at least {_FEWEST_ANALYSES} analyses with {wanted}, or with what can be converted to that, and "
        f"{'none has' if not fit else 'only 1 has'}. The {counted(len(held), 'analysis')} with maps: "
        f"{frequencies(there)}."
    )
    if any("t" in has and _SIZE not in has for has in held.values()):
        reason += " A t map can be converted when the analysis has a sample size; fill it in in the annotation."
    yield finding("images-unusable", (), len(held) - fit, reason=reason)


def _with_conversions(has: set[str]) -> set[str]:
    """Add the kinds of maps that can be made of what there is."""
    known, before = set(has), -1
    while len(known) > before:
        before = len(known)
        known.update(kind for kind, sources in _CONVERSIONS if sources <= known)
    return known


def _listed(has: set[str]) -> str:
    kinds = sorted(has - {_SIZE})
    return f"with {', '.join(kinds)}{'' if _SIZE in has else ', no sample size'}"


def _by_analysis(inputs: Inputs, used: list[StagedMap]) -> Iterator[Finding]:
    """Maps that become z maps, or cannot, by the analysis that they belong to."""
    if inputs.specification.estimator.name not in _NEEDS_Z:
        return
    kinds: dict[tuple[str, str], set[str]] = {}
    first: dict[tuple[str, str], StagedMap] = {}
    for one in used:
        kinds.setdefault((one.study_id, one.analysis_id), set()).add(one.kind or "")
        first.setdefault((one.study_id, one.analysis_id), one)
    sized = {inputs.keys[at] for at in inputs.selected if inputs.stated(at).sizes}
    unsigned = [
        key for key, has in kinds.items() if "p" in has and "z" not in has and not ("t" in has and key in sized)
    ]
    if unsigned:
        titles = _titles(inputs, [first[key] for key in unsigned])
        yield finding("images-p-without-sign", titles, len(unsigned), analyses=counted(len(unsigned), "analysis"))
    unsized = [key for key, has in kinds.items() if "t" in has and not has & {"z", "p"} and key not in sized]
    if unsized:
        titles = _titles(inputs, [first[key] for key in unsized])
        analyses = counted(len(unsized), "analysis")
        yield finding("images-t-without-sample-size", titles, len(unsized), analyses=analyses)


def _space(inputs: Inputs, used: list[StagedMap]) -> Iterator[Finding]:
    if other := [one for one in used if (one.space or "").strip() and parse_space(one.space) != MNI]:
        labels = frequencies(Counter(f'"{" ".join(str(one.space).split())[:60]}"' for one in other))
        yield finding(
            "images-space", _titles(inputs, other), len(other), maps=counted(len(other), "map"), labels=labels
        )


def _repeated(inputs: Inputs, used: list[StagedMap]) -> Iterator[Finding]:
    digests: dict[Path, str] = {}
    by_content: dict[str, list[StagedMap]] = {}
    for one in used:
        if one.path is None:
            continue
        if one.path not in digests:
            with one.path.open("rb") as file:
                digests[one.path] = hashlib.file_digest(file, "sha256").hexdigest()
        by_content.setdefault(digests[one.path], []).append(one)
    again = [
        one
        for same in by_content.values()
        if len({(other.study_id, other.analysis_id) for other in same}) > 1
        for one in same
    ]
    if again:
        yield finding("images-repeated", _titles(inputs, again), len(again), maps=counted(len(again), "map"))


def _implausible(inputs: Inputs, used: list[StagedMap]) -> Iterator[Finding]:
    odd: list[tuple[StagedMap, str]] = []
    for one in used:
        if one.values is None:
            continue
        low, high = one.values.lowest, one.values.highest
        most = _LARGEST.get(one.kind or "")
        if most is not None and max(high, -low) > most:
            odd.append((one, f"a {one.kind} map reaching {max(high, -low):,.3g}"))
        elif one.kind in ("varcope", "se", "sd") and low < 0:
            odd.append((one, f"a map of variances with negative values, down to {low:,.3g}"))
        elif low == high:
            odd.append((one, f"a {one.kind} map whose only value is {low:,.3g}"))
    if odd:
        shown = list(dict.fromkeys(words for _, words in odd))
        examples = ", ".join(shown[:_SHOWN])
        maps = [one for one, _ in odd]
        yield finding(
            "images-implausible", _titles(inputs, maps), len(odd), maps=counted(len(odd), "map"), examples=examples
        )
