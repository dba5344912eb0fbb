"""What a specification asks for, checked against NiMARE's signatures before anything is downloaded or launched.

What NiMARE would refuse is refused here, with the names that exist: estimators, correctors and arguments that NiMARE
has not, and groups that cannot be. So is what NiMARE would compute with although it means nothing: numbers outside the
domains of :mod:`compose_runner.specification.domains`, and files that a specification names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compose_runner.errors import SpecificationError
from compose_runner.findings import Finding, Findings
from compose_runner.specification.arguments import unknown_name
from compose_runner.specification.conditions import Condition, pair_conditions
from compose_runner.specification.consequences import SEED_ARGUMENT, find_consequences, refuse_impossible
from compose_runner.specification.estimators import (
    MONTE_CARLO,
    CorrectorChoice,
    EstimatorChoice,
    choose_corrector,
    choose_estimator,
    class_and_args,
    method_without_name,
)
from compose_runner.specification.leftovers import is_absent
from compose_runner.specification.signatures import EstimatorSignature, signatures, truncate_repr

CBMA = "CBMA"
IBMA = "IBMA"
KINDS = (CBMA, IBMA)

# keys of the form beside estimator and corrector
FILES = ("mask", "transformer")

FWE_CORRECTOR = "FWECorrector"
FDR_CORRECTOR = "FDRCorrector"

DEFAULT_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Specification:
    """A specification that can run.

    Parameters
    ----------
    kind : str
        ``CBMA`` (coordinates) or ``IBMA`` (images).
    estimator : EstimatorChoice
        What is computed.
    corrector : CorrectorChoice or None
        How it is corrected for multiple comparisons.
    filter : str
        The annotation's column that selects the analyses.
    first, second : tuple
        The conditions of the two groups; both empty if there are none.
    database_studyset : str or None
        The reference studyset that is the second group.
    findings : tuple of Finding
        What of it was ignored, assumed or rounded, and what changes nothing.
    """

    kind: str
    estimator: EstimatorChoice
    corrector: CorrectorChoice | None
    filter: str
    first: tuple[Condition, ...] = ()
    second: tuple[Condition, ...] = ()
    database_studyset: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def alpha(self) -> float:
        """What is called significant: corrected p values below this, FDR's ``alpha`` or 0.05."""
        if self.corrector is None or self.corrector.name != FDR_CORRECTOR:
            return DEFAULT_ALPHA
        return float(self.corrector.args.get("alpha", DEFAULT_ALPHA))

    @property
    def seed(self) -> int | None:
        """The seed that the specification itself gives, which goes before that of the run; None if it gives none."""
        seed = self.estimator.args.get(SEED_ARGUMENT)
        return None if seed is None else int(seed)

    @property
    def groups(self) -> int:
        """How many groups of studies are compared, 1 or 2."""
        return 2 if self.second or self.database_studyset else 1

    @property
    def image_based(self) -> bool:
        """Whether it needs statistical maps instead of coordinates."""
        return self.kind == IBMA


def parse_specification(document: object) -> Specification:
    """Check a specification as Compose stores it, and convert its arguments.

    Parameters
    ----------
    document : object
        The JSON document.

    Raises
    ------
    SpecificationError
        It names an estimator, corrector, method or argument that does not exist, gives an argument a value that
        it cannot take, or asks for groups that cannot be.
    """
    if not isinstance(document, Mapping):
        raise SpecificationError(f"The specification is not an object: {truncate_repr(document)}.")
    _refuse_files(document)
    signature, args = _named_estimator(document)
    first, second = pair_conditions(document.get("conditions"), document.get("weights"))
    findings = Findings()
    estimator = choose_estimator(signature, args, findings)
    refuse_impossible(estimator)
    corrector = choose_corrector(document.get("corrector"), signature, findings)
    find_consequences(estimator, corrector, findings)
    specification = Specification(
        kind=signature.kind,
        estimator=estimator,
        corrector=corrector,
        filter=_column(document.get("filter")),
        first=first,
        second=second,
        database_studyset=_reference(document.get("database_studyset")),
        findings=tuple(findings),
    )
    _check_groups(specification, signature)
    return specification


def needs_large_task(document: object) -> bool:
    """Whether a specification asks for a Monte Carlo FWE correction, which needs the large task.

    Parameters
    ----------
    document : object
        The specification as Compose stores it; anything else needs no large task.
    """
    if not isinstance(document, Mapping):
        return False
    try:
        named = class_and_args("corrector", document.get("corrector"))
    except SpecificationError:
        return False
    if named is None or named[0] != FWE_CORRECTOR:
        return False
    method = named[1].get("method")
    if not is_absent(method):
        return isinstance(method, str) and method.strip().casefold() == MONTE_CARLO
    return method_without_name(FWE_CORRECTOR, _find_estimator(document), named[1])[0] == MONTE_CARLO


def _find_estimator(document: Mapping[str, Any]) -> EstimatorSignature | None:
    """Find the estimator that a specification names, if there is one."""
    try:
        named = class_and_args("estimator", document.get("estimator"))
    except SpecificationError:
        return None
    return None if named is None else signatures().estimators.get(named[0])


def _named_estimator(document: Mapping[str, Any]) -> tuple[EstimatorSignature, dict[str, Any]]:
    kind = document.get("type")
    if kind is not None and (not isinstance(kind, str) or kind.strip().upper() not in KINDS):
        raise SpecificationError(f"Unknown type {truncate_repr(kind)} of meta-analysis. There are: {', '.join(KINDS)}.")
    known = signatures().estimators
    kind = kind.strip().upper() if kind else None
    of_kind = sorted(name for name, one in known.items() if kind in (None, one.kind))
    part = class_and_args("estimator", document.get("estimator"))
    if part is None:
        raise SpecificationError(f"The specification names no estimator. There are: {', '.join(of_kind)}.")
    name, args = part
    if name not in of_kind:
        other = f" ({name} is one for {known[name].kind})" if name in known else ""
        raise SpecificationError(unknown_name(f"{kind or 'NiMARE'} has no estimator", name, of_kind, other))
    return known[name], args


def _refuse_files(document: Mapping[str, Any]) -> None:
    """Refuse a mask or a transformer; null and the form's default, an empty text, mean none."""
    for name in FILES:
        value = document.get(name)
        if not is_absent(value) and value not in ({}, []):
            raise SpecificationError(
                f"The specification's {name} is {truncate_repr(value)}, and cannot be applied: an analysis is of the "
                "whole brain, with NiMARE's own mask and transformers. Leave it empty."
            )


def _column(value: Any) -> str:
    if value is None or isinstance(value, list | tuple | Mapping) or str(value) == "":
        raise SpecificationError("The specification's filter names no column of the annotation.")
    return str(value)


def _reference(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise SpecificationError(f"The database_studyset is not a name: {truncate_repr(value)}.")
    return value


def _check_groups(specification: Specification, signature: EstimatorSignature) -> None:
    """Refuse combinations of groups that no selection can give or the estimator cannot take."""
    n_conditions = len(specification.first) + len(specification.second)
    if specification.database_studyset and n_conditions > 1:
        raise SpecificationError(
            f"{n_conditions} conditions and the database_studyset {specification.database_studyset!r} together make "
            "more than two groups: name one condition, or no database_studyset."
        )
    if signature.groups == specification.groups:
        return
    same = [
        name
        for name, one in sorted(signatures().estimators.items())
        if one.kind == signature.kind and one.groups == specification.groups
    ]
    if signature.groups == 2:
        raise SpecificationError(
            f"{signature.name} compares two groups, but the specification selects one. A second condition with the "
            f"weight -1 or a database_studyset makes the second group. For one group there are: {', '.join(same)}."
        )
    source = "a database_studyset" if specification.database_studyset else "conditions with weights 1 and -1"
    advice = (
        f"For two groups there are: {', '.join(same)}." if same else "No image-based estimator compares two groups."
    )
    raise SpecificationError(
        f"{signature.name} takes one group, but the specification selects two ({source}). {advice}"
    )
