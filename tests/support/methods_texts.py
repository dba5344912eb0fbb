"""Methods texts of each estimator with each correction; ``python -m tests.support.methods_texts`` renews the files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_runner.analysis.write.methods import Methods, methods_text
from compose_runner.specification.estimators import correction_methods
from compose_runner.specification.signatures import signatures
from tests.support.form import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compose_runner.specification.parsing import Specification

_SENTENCE, _BREAK = re.compile(r"(?<=[.;]) (?=[A-Z0-9])"), "\n"
FOLDER = Path(__file__).parents[1] / "data" / "methods"

VERSIONS = {
    "compose-runner": "1.0.0",
    "python": "3.13.0",
    "nimare": "0.22.1",
    "numpy": "2.3.0",
    "scipy": "1.16.0",
    "nilearn": "0.12.0",
}


def account(factor: int = 1) -> dict[str, Any]:
    """What the accounting of one group says."""
    return {
        "selected": {"studies": 20 * factor + 1, "analyses": 20 * factor + 2},
        "used": {
            "studies": 20 * factor,
            "experiments": 20 * factor,
            "foci": 142 * factor,
            "participants": 380 * factor,
        },
        "foci": {"converted": 12, "taken_as_mni": 1, "outside_mask": 3, "without_coordinates": 0},
    }


def record(specification: Specification, **more: Any) -> dict[str, Any]:
    """What ``metadata.json`` would say of a result."""
    groups = ["first", "second"][: specification.groups]
    accounting: dict[str, Any] = {name: account(place + 1) for place, name in enumerate(groups)}
    if specification.image_based:
        accounting = {"first": {"used": {"studies": 12, "experiments": 15, "foci": 0, "participants": None}}}
    return {
        "accounting": accounting,
        "counts": {name: {"studies": 21, "analyses": 21, "foci": 145} for name in groups},
        "diagnostics": [_diagnostic(specification)],
        "seed": 42,
        "versions": VERSIONS,
        **more,
    }


def _diagnostic(specification: Specification) -> dict[str, Any]:
    corrector = specification.corrector
    montecarlo = corrector is not None and corrector.method == "montecarlo"
    two = specification.groups == 2 or specification.image_based or (corrector is not None and not montecarlo)
    name = "z"
    if corrector is not None:
        voxels = corrector.args.get("vfwe_only") or specification.estimator.name in ("SCALE", "PermutedOLS")
        level = "_level-voxel" if voxels else "_desc-mass_level-cluster"
        name = f"z{level if montecarlo else ''}_corr-{corrector.name[:3]}_method-{corrector.method}"
    return {
        "type": "Jackknife" if specification.image_based else "FocusCounter",
        "target_image": name,
        "target_threshold": 1.96 if two else 1.645,
        "cluster_threshold": 10,
        "alpha": specification.alpha,
        "tails": 2 if two else 1,
        "corrected": corrector is not None,
    }


def specifications(name: str) -> Iterator[tuple[str, Specification]]:
    """List an estimator's specifications, each with its heading: all corrections, and what changes a sentence."""
    signature = signatures().estimators[name]
    yield "no correction", parsed(name)
    for corrector in signatures().correctors:
        for method in correction_methods(corrector, signature):
            yield f"{corrector}, {method}", parsed(name, {}, {"type": corrector, "args": {"method": method}})
    montecarlo = signature.corrections.get("fwe", {}).get("montecarlo", {})
    if "vfwe_only" in montecarlo:
        args = {"method": "montecarlo", "vfwe_only": True, "n_iters": 200}
        yield "FWECorrector, montecarlo, voxels only", parsed(name, {}, {"type": "FWECorrector", "args": args})
    for argument, value in (
        ("null_method", "montecarlo"),
        ("null_method", "reduced_montecarlo"),
        ("kernel__fwhm", 8),
        ("kernel__sample_size", 20),
        ("kernel__r", 6.5),
        ("weighting", "sample_size"),
        ("use_sample_size", True),
        ("two_sided", False),
        ("tau2", 0.5),
        ("method", "reml"),
        ("aggressive_mask", True),
    ):
        kernel = {f"kernel__{one}" for one in signatures().kernels.get(str(signature.kernel), {})}
        taken = signature.parameters.get(argument)
        if argument in kernel or (taken and (not taken.choices or value in taken.choices)):
            yield f"no correction, {argument} {value}", parsed(name, {argument: value})


def texts(name: str) -> Iterator[tuple[str, Methods]]:
    """Write the methods texts of an estimator."""
    for heading, specification in specifications(name):
        yield heading, methods_text(specification, record(specification))


def golden(name: str) -> str:
    """Put the texts of an estimator into one file, as they stand in ``tests/data/methods``."""
    return "\n".join(f"[{heading}]\n{_SENTENCE.sub(_BREAK, methods.text)}\n" for heading, methods in texts(name))


def main() -> None:
    """Write the files anew."""
    FOLDER.mkdir(exist_ok=True)
    for name in signatures().estimators:
        (FOLDER / f"{name}.txt").write_text(golden(name), encoding="utf-8")


if __name__ == "__main__":
    main()
