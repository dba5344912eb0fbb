"""What may mislead in the foci: what is none, where they lie, which space they are said to be in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_runner.analysis.audit.accounting import NO_LABEL
from compose_runner.analysis.audit.codes import finding
from compose_runner.analysis.select.foci import MNI, TALAIRACH, parse_space
from compose_runner.analysis.wording import counted, frequencies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from compose_runner.analysis.audit.inputs import EstimatorFoci, Group, Inputs
    from compose_runner.analysis.select.foci import FociAccount
    from compose_runner.findings import Finding

# below it chance can put as many foci of a study anywhere
_FEWEST_FOCI = 4
_OUTSIDE, _BETTER = 1 / 3, 0.9
# a brain reaches 9 cm from its centre, and foci of a study rarely all lie within 12 mm of it
_CENTIMETRES, _METRES = 12.0, 0.2
# no brain reaches farther from its centre
_FARTHEST = 150.0


@dataclass(frozen=True)
class _Misreading:
    """What may be wrong with coordinates.

    Parameters
    ----------
    code, words : str
        The finding's code, and what is wrong.
    undo : callable
        Puts foci in millimetres, of shape (n_foci, 3), right.
    farthest : float
        Studies without a number above it are not suspected.
    not_negative : bool
        Whether studies with a negative number are not suspected.
    """

    code: str
    words: str
    undo: Callable[[NDArray[Any]], NDArray[Any]]
    farthest: float = 0.0
    not_negative: bool = False


_AXES = (
    ("the first and the second number swapped", lambda xyz: xyz[:, [1, 0, 2]]),
    ("the first and the third number swapped", lambda xyz: xyz[:, [2, 1, 0]]),
    ("the second and the third number swapped", lambda xyz: xyz[:, [0, 2, 1]]),
    ("their numbers in the order y, z, x", lambda xyz: xyz[:, [2, 0, 1]]),
    ("their numbers in the order z, x, y", lambda xyz: xyz[:, [1, 2, 0]]),
    ("front and back reversed", lambda xyz: xyz * [1, -1, 1]),
    ("top and bottom reversed", lambda xyz: xyz * [1, 1, -1]),
    ("front and back, and top and bottom, reversed", lambda xyz: xyz * [1, -1, -1]),
)
_MISREADINGS = (
    *(_Misreading("coordinates-axes", words, undo) for words, undo in _AXES),
    # other units can be told from odd places only by numbers that no millimetres are
    _Misreading("coordinates-units", "tenths of a millimetre", lambda xyz: xyz / 10, _FARTHEST),
    _Misreading("coordinates-units", "micrometres", lambda xyz: xyz / 1000, 10 * _FARTHEST),
    _Misreading(
        "coordinates-units",
        "voxels of the 2 mm template",
        lambda xyz: xyz * [-2, 2, 2] + [90, -126, -72],
        not_negative=True,
    ),
)


def find(inputs: Inputs) -> Iterator[Finding]:
    """Look at the foci of every group."""
    if inputs.specification.image_based:
        return
    yield from _read(inputs)
    for group in inputs.all_groups:
        yield from _placed(inputs, group)


def _read(inputs: Inputs) -> Iterator[Finding]:
    """What the documents say, of every selected analysis once."""
    account = inputs.account(inputs.selected)

    def titles(has: Callable[[FociAccount], Any]) -> list[str]:
        return inputs.titles(s for s, a in inputs.selected if has(inputs.foci.accounts[s, a]))

    if n := account.without_coordinates:
        yield finding(
            "coordinates-left-out",
            titles(lambda one: one.without_coordinates),
            n,
            foci=counted(n, "focus"),
            listed=f"{account.listed:,}",
            reasons=frequencies(account.left_out),
            example=f" (such as {account.example})" if account.example else "",
        )
    if n := account.read:
        yield finding("coordinates-read", titles(lambda one: one.read), n, foci=counted(n, "focus"))
    if n := account.converted:
        yield finding("coordinates-converted", titles(lambda one: one.converted), n, foci=counted(n, "focus"))
    if n := account.taken_as_mni:
        unknown = {label: number for label, number in account.spaces.items() if parse_space(label) is None}
        labels = {f'"{label}"' if label else NO_LABEL: number for label, number in unknown.items()}
        yield finding(
            "coordinates-space-unknown",
            titles(lambda one: one.taken_as_mni),
            n,
            foci=counted(n, "focus"),
            labels=frequencies(labels),
        )
    if n := account.negative:
        yield finding("coordinates-negative", titles(lambda one: one.negative), n, foci=counted(n, "focus"))
    spaces: dict[int, set[str]] = {}
    for s, a in inputs.selected:
        spaces.setdefault(s, set()).update(parse_space(label) or "" for label in inputs.foci.accounts[s, a].spaces)
    if mixed := [s for s, found in spaces.items() if {MNI, TALAIRACH} <= found]:
        yield finding("coordinates-space-mixed", inputs.titles(mixed), len(mixed))


def _placed(inputs: Inputs, group: Group) -> Iterator[Finding]:
    """Where the foci of a group are."""
    foci = group.foci
    if not len(foci):
        return
    studies, _ = foci.by_study
    totals, outside = foci.per_study(np.ones(len(foci), dtype=bool)), foci.per_study(~foci.inside)
    n_outside = int(outside.sum())

    def titles(which: NDArray[np.bool_]) -> list[str]:
        return inputs.titles_of_ids(studies[which].tolist(), group)

    suspicions = [*_units(foci, titles), *_misread(foci, outside, totals, titles)]
    if n_outside == len(foci):
        guess = f". {suspicions[0].message.partition(':')[0]}" if suspicions else ""
        yield finding(
            "coordinates-nothing-inside",
            titles(outside > 0),
            n_outside,
            foci=counted(len(foci), "focus"),
            group=group,
            guess=guess,
        )
        return
    yield from suspicions
    if n_outside:
        yield finding(
            "coordinates-outside-mask",
            titles(outside > 0),
            n_outside,
            outside=f"{n_outside:,}",
            foci=f"{counted(len(foci), 'focus')} of the {group} {'lies' if n_outside == 1 else 'lie'}",
        )
    if (mostly := (2 * outside >= totals) & (outside > 0)).any():
        yield finding(
            "coordinates-mostly-outside",
            titles(mostly),
            int(mostly.sum()),
            outside=f"{int(outside[mostly].sum()):,}",
            foci=f"{int(totals[mostly].sum()):,}",
        )
    if not group.is_reference and (again := foci.duplicates).any():
        n = int(again.sum())
        yield finding(
            "coordinates-duplicate", titles(foci.per_study(again) > 0), n, foci=f"{counted(n, 'focus')} of the {group}"
        )


def _units(foci: EstimatorFoci, titles: Callable[[NDArray[np.bool_]], list[str]]) -> Iterator[Finding]:
    """Find studies all of whose foci are within a few millimetres of the centre, and not at whole numbers."""
    distinct = foci.per_study(~foci.duplicates)
    _, farthest = foci.extremes
    broken = foci.per_study((foci.xyz != np.round(foci.xyz)).any(axis=1)) > 0
    enough = (distinct >= _FEWEST_FOCI) & broken & (farthest > 0)
    for unit, below, above in (("metres", _METRES, 0.0), ("centimetres", _CENTIMETRES, _METRES)):
        which = enough & (farthest <= below) & (farthest > above)
        if which.any():
            evidence = f"all foci of a study lie within {below:g} mm of the centre of the brain"
            yield finding("coordinates-units", titles(which), int(which.sum()), what=unit, evidence=evidence)


def _misread(
    foci: EstimatorFoci, outside: NDArray[Any], totals: NDArray[Any], titles: Callable[[NDArray[np.bool_]], list[str]]
) -> Iterator[Finding]:
    """Find studies many of whose foci are outside the brain, and would not be if they were written otherwise."""
    distinct = foci.per_study(~foci.duplicates)
    suspects = (distinct >= _FEWEST_FOCI) & (outside >= _OUTSIDE * totals)
    together = not suspects.any() and outside.sum() >= _OUTSIDE * len(foci)
    if together:  # studies of few foci
        suspects = np.full(len(totals), len(np.unique(foci.xyz, axis=0)) >= _FEWEST_FOCI)
    if not suspects.any():
        return
    studies, members = foci.by_study
    xyz, owners = foci.xyz[suspects[members]], members[suspects[members]]
    lowest, farthest = foci.extremes
    guesses = np.full(len(studies), -1)
    best = totals - outside
    for number, misreading in enumerate(_MISREADINGS):
        found = np.bincount(owners[foci.within(misreading.undo(xyz))], minlength=len(studies))
        if together:
            better = np.full(len(studies), found.sum() > best.sum() and found.sum() >= _BETTER * totals.sum())
        else:
            better = (found > best) & (found >= _BETTER * totals)
        better &= suspects & (farthest > misreading.farthest)
        if misreading.not_negative:
            better &= lowest >= 0
        guesses[better] = number
        best = np.where(better, found, best)
    for number, misreading in enumerate(_MISREADINGS):
        which = guesses == number
        if which.any():
            figures = (int(counts[which].sum()) for counts in (totals - outside, totals, best))
            before, total, after = figures
            yield finding(
                misreading.code,
                titles(which),
                int(which.sum()),
                what=misreading.words,
                evidence=f"{before:,} of {counted(total, 'focus')} lie in the brain as they are, {after:,} would then",
            )
