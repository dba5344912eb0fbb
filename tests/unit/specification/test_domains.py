"""Numbers that mean nothing are refused by name, with what is permitted; nothing that a form stores is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from compose_runner.errors import SpecificationError
from compose_runner.specification.domains import DOMAINS, Interval
from compose_runner.specification.parsing import parse_specification
from compose_runner.specification.signatures import Parameter, signatures
from tests.support import synthetic

if TYPE_CHECKING:
    from pathlib import Path

NUMERIC = {"integer", "number"}


def every_parameter() -> list[Any]:
    """Every argument of NiMARE that a specification can give, with a place where it is taken."""
    found = []
    for name, signature in signatures().estimators.items():
        found += [
            pytest.param(name, one, one.name, None, id=f"{name}-{one.name}") for one in signature.parameters.values()
        ]
        for family, methods in signature.corrections.items():
            for method, parameters in methods.items():
                owner = (f"{family.upper()}Corrector", method)
                found += [
                    pytest.param(name, one, one.name, owner, id=f"{name}-{method}-{one.name}")
                    for one in parameters.values()
                ]
    for kernel, parameters in signatures().kernels.items():
        name = {"ALEKernel": "ALE", "KDAKernel": "KDA", "MKDAKernel": "MKDADensity"}[kernel]
        found += [
            pytest.param(name, one, f"kernel__{one.name}", None, id=f"{kernel}-{one.name}")
            for one in parameters.values()
        ]
    for one in signatures().resampling.values():
        found.append(pytest.param("Fishers", one, f"resample__{one.name}", None, id=f"resampling-{one.name}"))
    return found


EVERY = every_parameter()


def refusal(estimator: str, argument: str, value: Any, corrector: tuple[str, str] | None = None) -> str | None:
    """What is said of an argument's value; None when it is taken."""
    signature = signatures().estimators[estimator]
    make = synthetic.two_groups if signature.groups == 2 else synthetic.specification
    args = {"xyz": [[0, 0, 0]]} if estimator == "SCALE" else {}
    options: dict[str, Any] = {"kind": signature.kind}
    if corrector is None:
        args[argument] = value
    else:
        options |= {"corrector": corrector[0], "corrector_args": {"method": corrector[1], argument: value}}
    try:
        parse_specification(make(estimator, args, **options))
    except SpecificationError as error:
        return str(error)
    return None


def takes_numbers(parameter: Parameter) -> bool:
    described = parameter.types or parameter.choices
    return bool(NUMERIC & set(parameter.types)) or (
        not described and parameter.name not in ("mask", "memory", "method")
    )


@pytest.mark.parametrize(("estimator", "parameter", "argument", "corrector"), EVERY)
def test_every_number_has_a_domain_in_which_its_default_is(
    estimator: str, parameter: Parameter, argument: str, corrector: Any
) -> None:
    if not takes_numbers(parameter):
        assert parameter.domain is None or parameter.types == ("array",)
        return
    assert parameter.domain is not None, f"{parameter.name} has no domain: compose_runner/specification/domains.py"
    if parameter.default is not None:
        assert parameter.default in parameter.domain
        assert refusal(estimator, argument, parameter.default, corrector) is None


HOSTILE = [
    10**30,
    10**400,
    -(10**30),
    1e300,
    -1e300,
    float("nan"),
    float("inf"),
    float("-inf"),
    "1e999",
    "9" * 5000,
    [[[]]],
    {"a": 1},
]


@pytest.mark.parametrize(("estimator", "parameter", "argument", "corrector"), EVERY)
def test_hostile_values_are_refused_by_name(
    estimator: str, parameter: Parameter, argument: str, corrector: Any
) -> None:
    for value in HOSTILE:
        if "string" in parameter.types and isinstance(value, str):
            continue
        said = refusal(estimator, argument, value, corrector)
        assert said is not None, value
        assert f"'{argument}'" in said or f"argument '{argument}'" in said
        assert len(said) < 1000


@pytest.mark.parametrize(
    ("estimator", "argument", "value", "said"),
    [
        ("ALE", "kernel__fwhm", -3, "ALE: 'kernel__fwhm' must be a number from 1 to 100 mm or null, not -3."),
        ("ALE", "kernel__fwhm", 0, "from 1 to 100 mm"),
        ("ALE", "kernel__fwhm", "1e-300", "from 1 to 100 mm"),
        ("ALE", "kernel__fwhm", 1e6, "from 1 to 100 mm"),
        ("ALE", "kernel__sample_size", -1, "a number from 1 to 1,000,000 or null, not -1"),
        ("ALE", "kernel__sample_size", 0, "from 1"),
        ("ALE", "random_state", -1, "a whole number from 0 to 4,294,967,295"),
        ("ALE", "random_state", 2**70, "to 4,294,967,295"),
        ("ALE", "n_iters", 10**12, "a whole number from 1 to 10,000,000, not 1000000000000"),
        ("ALE", "n_cores", 10**9, "'n_cores' must be a number from -10,000 to 10,000"),
        ("ALE", "generate_description", 5, "must be true or false"),
        ("ALE", "null_method", 5, "must be 'approximate' or 'montecarlo'"),
        ("MKDADensity", "kernel__r", -5, "a number from 1 to 50 mm, not -5"),
        ("MKDADensity", "kernel__r", 1000, "from 1 to 50 mm"),
        ("MKDADensity", "kernel__value", 10**18, "a whole number from 1 to 1,000"),
        ("MKDADensity", "kernel__value", 0.5, "a whole number from 1 to 1,000, not 0.5"),
        ("MKDADensity", "n_histogram_bins", 10**12, "a whole number from 10 to 1,000,000"),
        ("MKDAChi2", "prior", 0, "a number between 0 and 1, not 0"),
        ("MKDAChi2", "prior", "1.5", "a number between 0 and 1, not '1.5'"),
        ("ALESubtraction", "voxel_thresh", 2, "a number between 0 and 1, not 2"),
        ("BalancedALESubtraction", "n_subsamples", 10**12, "a whole number from 1 to 10,000,000"),
        ("Hedges", "rho", 2, "a number from 0 to 1, not 2"),
        ("WeightedLeastSquares", "tau2", -1, "a number from 0 to"),
        ("WeightedLeastSquares", "tau2", [0, -1], "a number from 0 to"),
        (
            "SCALE",
            "xyz",
            [[0, 0, "x"]],
            "'xyz' must be a list of at most 1,000,000 items, each a number from -1,000 to 1,000 mm",
        ),
        ("SCALE", "xyz", [[0, 0, 1e400]], "'xyz'"),
        ("SCALE", "xyz", 5, "'xyz' must be a list"),
        ("WeightedLeastSquares", "tau2", "x", "a number from 0 to 1,000,000,000,000 or a list of at most 1,000,000"),
    ],
)
def test_a_number_outside_is_refused_with_the_range(estimator: str, argument: str, value: Any, said: str) -> None:
    assert said in str(refusal(estimator, argument, value))


@pytest.mark.parametrize(
    ("argument", "value"),
    [("voxel_thresh", -1), ("voxel_thresh", 2), ("voxel_thresh", 0), ("n_iters", 0), ("n_iters", -5)],
)
def test_so_is_one_of_a_corrector(argument: str, value: Any) -> None:
    said = str(refusal("ALE", argument, value, ("FWECorrector", "montecarlo")))
    assert f"FWECorrector with the method 'montecarlo' on ALE: '{argument}' must be a" in said


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "mask.nii.gz", "http://127.0.0.1/mask.nii.gz", "~/x", ["a"], 5, {"a": 1}, True]
)
@pytest.mark.parametrize(
    ("estimator", "argument"),
    [("ALE", "mask"), ("Fishers", "mask"), ("ALE", "memory"), ("Fishers", "memory"), ("ALE", "kernel__memory")],
)
def test_no_argument_names_a_file(estimator: str, argument: str, path: Any) -> None:
    said = str(refusal(estimator, argument, path))
    assert f"'{argument}' must be null" in said
    assert "names no files" in said
    for absent in (None, "", "none"):
        assert refusal(estimator, argument, absent) is None


@pytest.mark.parametrize(
    "argument", ["resample__target_img", "resample__source_img", "resample__mask", "resample__memory"]
)
def test_resampling_takes_no_image(argument: str) -> None:
    assert f"Fishers has no argument '{argument}'" in str(refusal("Fishers", argument, "/etc/passwd"))


@pytest.mark.parametrize("key", ["mask", "transformer"])
def test_the_forms_own_mask_and_transformer_are_passed_over_and_no_other(key: str) -> None:
    nothing: tuple[object, ...] = (None, "", {})
    for absent in nothing:
        parse_specification({**synthetic.specification(), key: absent})
    for given in ("/etc/passwd", "gm", {"path": "x"}, 5, ["x"], True):
        with pytest.raises(SpecificationError, match=f"The specification's {key} is"):
            parse_specification({**synthetic.specification(), key: given})


def test_conditions_are_counted() -> None:
    document = synthetic.specification(conditions=["a"] * 1001, weights=[1] * 1001)
    with pytest.raises(SpecificationError, match="1,001 conditions and 1,001 weights; a specification may have 1,000"):
        parse_specification(document)


def test_everything_that_composes_form_stores_by_default_is_in_its_domain(recorded: Path) -> None:
    defaults = json.loads((recorded / "form_defaults.json").read_text())["defaults"]
    for kind in ("CBMA", "IBMA"):
        for estimator, args in defaults[kind].items():
            if estimator not in signatures().estimators:
                continue
            make = synthetic.two_groups if signatures().estimators[estimator].groups == 2 else synthetic.specification
            known = {
                name: value
                for name, value in args.items()
                if name.startswith(("kernel__", "**")) or name in signatures().estimators[estimator].parameters
            }
            parse_specification({**make(estimator, known, kind=kind), "mask": "", "transformer": ""})


def test_an_interval_says_what_is_in_it() -> None:
    assert str(Interval(0, 1, open=True)) == "a number between 0 and 1"
    assert [value in Interval(1, 3, whole=True) for value in (1, 3, 2.0, 2.5, 0, 4, True, "2", None)] == [
        *(True, True, True),
        *[False] * 6,
    ]
    assert 2.5 in Interval(1, 3, whole=True, cut=True)
    assert 0.5 not in Interval(1, 3, whole=True, cut=True)
    assert all(domain.low < domain.high for domain in DOMAINS.values())
