"""What Compose's form stores: its defaults as they were recorded, made into specifications."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compose_runner.specification.parsing import Specification, parse_specification
from compose_runner.specification.signatures import signatures
from tests.support import synthetic

FORM: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "recorded" / "form_defaults.json").read_text(encoding="utf-8")
)["defaults"]
TWO_GROUPS = frozenset({"ALESubtraction", "MKDAChi2"})


def form_document(name: str, corrector: str | None, **corrector_args: Any) -> dict[str, Any]:
    """Make the specification that the form stores for an estimator and a corrector.

    Parameters
    ----------
    name : str
        The estimator.
    corrector : str or None
        The corrector.
    **corrector_args
        What was changed of the corrector's defaults.
    """
    kind = next(kind for kind in ("CBMA", "IBMA") if name in FORM[kind])
    two = name in TWO_GROUPS
    chosen = None if corrector is None else {**FORM["CORRECTOR"][corrector], **corrector_args}
    return {
        "type": kind,
        "estimator": {"type": name, "args": dict(FORM[kind][name])},
        "corrector": None if corrector is None else {"type": corrector, "args": chosen},
        "filter": "included",
        "conditions": ["true", "false"] if two else ["true"],
        "weights": [1, -1] if two else [1],
        "database_studyset": None,
        "mask": "",
        "transformer": "",
    }


def document(name: str, args: dict[str, Any] | None = None, corrector: Any = None) -> dict[str, Any]:
    """Make a specification of any estimator of NiMARE, with the groups and arguments that it cannot do without."""
    signature = signatures().estimators[name]
    make = synthetic.two_groups if signature.groups == 2 else synthetic.specification
    needed = {"xyz": [[0, 0, 0]]} if name == "SCALE" else {}
    return {**make(name, {**needed, **(args or {})}, kind=signature.kind), "corrector": corrector}


def parsed(name: str, args: dict[str, Any] | None = None, corrector: Any = None) -> Specification:
    """Read such a specification."""
    return parse_specification(document(name, args, corrector))


def fwe(**args: Any) -> dict[str, Any]:
    """Make the corrector for family-wise errors, with no method unless one is given."""
    return {"type": "FWECorrector", "args": args}


def codes(specification: Specification) -> list[str]:
    """List the codes of what was found in a specification."""
    return [finding.code for finding in specification.findings]
