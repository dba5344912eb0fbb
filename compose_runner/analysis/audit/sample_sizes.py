"""Whether there are the sample sizes that a method needs, and what may mislead in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nimare.studyset.requirements import PerAnalysis

from compose_runner.analysis.audit.codes import finding
from compose_runner.analysis.wording import counted
from compose_runner.specification.estimators import KERNEL_ARGUMENT
from compose_runner.specification.signatures import signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compose_runner.analysis.audit.inputs import Inputs
    from compose_runner.analysis.select.sample_sizes import StatedSize
    from compose_runner.findings import Finding
    from compose_runner.specification.parsing import Specification

_FEWEST, _MOST = 4, 10_000
_SHOWN = 3
_KERNEL = "ALEKernel"
_FILL_IN = "Fill in sample_size in the annotation"


def ways_out(specification: Specification) -> str | None:
    """Tell how a method that needs sample sizes can do without them, in the words of Compose's form.

    Returns
    -------
    str or None
        None for a method that needs none.
    """
    choice = specification.estimator
    signature = signatures().estimators[choice.name]
    if choice.args.get("weighting") == "sample_size":
        return f"{_FILL_IN}, or leave the weighting empty."
    kernel = choice.args.get(KERNEL_ARGUMENT) or signature.kernel
    fixed = (choice.args.get("kernel__fwhm"), choice.args.get("kernel__sample_size"))
    if kernel == _KERNEL and fixed == (None, None):
        return f"{_FILL_IN}, or set the FWHM or the sample size of the kernel (kernel__fwhm, kernel__sample_size)."
    return None


def find(inputs: Inputs) -> Iterator[Finding]:
    """Look at the sample sizes of selected studies, if the method needs them."""
    ways = ways_out(inputs.specification)
    if ways is None and not inputs.specification.image_based:
        return
    looked_at = [at for at in inputs.selected if inputs.foci.accounts[at].usable or inputs.specification.image_based]

    def titles(has: Callable[[StatedSize], object]) -> list[str]:
        return inputs.titles(at[0] for at in looked_at if has(inputs.stated(at)))

    def examples(show: Callable[[StatedSize], str], has: Callable[[StatedSize], object]) -> str:
        shown = dict.fromkeys(show(inputs.stated(at)) for at in looked_at if has(inputs.stated(at)))
        return ", ".join(list(shown)[:_SHOWN]) + (" and others" if len(shown) > _SHOWN else "")

    checks: tuple[tuple[str, Callable[[StatedSize], object], Callable[[StatedSize], str]], ...] = (
        ("sample-size-read", lambda one: one.as_text, lambda one: f"{one.key}: {_listed(one.sizes)}"),
        ("sample-size-unread", lambda one: one.unread, lambda one: one.unread),
        (
            "sample-size-implausible",
            lambda one: any(size != round(size) or not _FEWEST <= size <= _MOST for size in one.sizes),
            lambda one: _listed(one.sizes),
        ),
        (
            "sample-size-note-differs",
            lambda one: one.overruled,
            lambda one: f"{_listed(one.sizes)} instead of {_listed(one.overruled)}",
        ),
    )
    for code, has, show in checks:
        if studies := titles(has):
            yield finding(code, studies, len(studies), examples=examples(show, has))
    if ways is not None:
        yield from _missing(inputs, ways)


def _listed(sizes: tuple[float, ...]) -> str:
    return " and ".join(f"{size:,.10g}" for size in sizes)


def _missing(inputs: Inputs, ways: str) -> Iterator[Finding]:
    for group in inputs.all_groups:
        rows = group.studyset.view.index
        values = PerAnalysis("sample_sizes").values(group.studyset.store)[rows]
        with_foci = np.isin(np.asarray(group.studyset.ids, dtype=str), group.foci.experiment)
        lacking = with_foci & ~np.isfinite(values)
        if lacking.any():
            ids = dict.fromkeys(np.asarray(group.studyset.study_ids, dtype=str)[lacking].tolist())
            yield finding(
                "sample-size-missing",
                inputs.titles_of_ids(ids, group),
                len(ids),
                method=inputs.specification.estimator.name,
                n_studies=f"{len(ids):,}",
                have="has" if len(ids) == 1 else "have",
                of=f"{counted(int(with_foci.sum()), 'study')} of the {group}",
                ways=ways,
            )
