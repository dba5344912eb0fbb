"""Write down what NiMARE's estimators and correctors take, for those who must not import NiMARE.

``python -m compose_runner.specification.generate`` writes ``signatures.json``, which
:mod:`compose_runner.specification.signatures` reads. Everything in it comes from NiMARE's own classes: names and
defaults from the constructors along the class hierarchy, types from the defaults and from the docstrings,
methods of correction from the ``correct_*`` methods. A test writes it again and compares.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nimare
import nimare.correct
import nimare.meta.cbma
import nimare.meta.ibma
import nimare.meta.kernel
from nilearn.image import resample_to_img
from nimare.meta.cbma.base import CBMAEstimator, PairwiseCBMAEstimator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNATURES_PATH = Path(__file__).with_name("signatures.json")

KINDS = {
    "CBMA": (nimare.meta.cbma, CBMAEstimator),
    "IBMA": (nimare.meta.ibma, nimare.meta.ibma.IBMAEstimator),
}
KERNEL_PARAMETER = "kernel_transformer"

# estimators whose result has no p map, which the correctors' own methods start from
WITHOUT_P_MAP = frozenset({"SCALE"})

# accepted by CBMAEstimator's fit, although its documentation and its error text leave it out
# what the prose of nilearn's documentation says stands here as well
UNDOCUMENTED_CHOICES = {
    ("null_method", "approximate"): ["reduced_montecarlo"],
    ("interpolation", "continuous"): ["continuous", "linear", "nearest"],
    ("order", "F"): ["F", "C"],
    ("target", "pairwise"): ["pairwise", "main-effects", "all"],
    ("fwe_null_method", "label-permutation"): ["label-permutation", "random-foci"],
}

_TYPE_WORDS = {
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "str": "string",
    "numpy.ndarray": "array",
    "array-like": "array",
}
_TYPE_OF_DEFAULT = {bool: "boolean", int: "integer", float: "number", str: "string"}
_TYPE_ORDER = ("boolean", "integer", "number", "string", "array")
_SECTION = re.compile(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", re.DOTALL | re.MULTILINE)
_ENTRY = re.compile(r"^(\w[\w, ]*) : (.*)$", re.MULTILINE)


def collect() -> dict[str, Any]:
    """Describe every public estimator, corrector and kernel of the installed NiMARE.

    Returns
    -------
    dict
        ``nimare_version``, ``estimators``, ``correctors`` and ``kernels``, each by class name.
    """
    return {
        "nimare_version": nimare.__version__,
        "estimators": {
            name: _estimator(kind, cls)
            for kind, (module, base) in KINDS.items()
            for name, cls in _public_classes(module, base)
        },
        "correctors": {
            name: _corrector(cls) for name, cls in _public_classes(nimare.correct, nimare.correct.Corrector)
        },
        "kernels": {
            name: _read_parameters(cls)
            for name, cls in _public_classes(nimare.meta.kernel, nimare.meta.kernel.KernelTransformer)
        },
        # without the two images
        "resampling": _describe_all(resample_to_img, 2, _documented_types(resample_to_img)),
    }


def _public_classes(module: Any, base: type) -> Iterator[tuple[str, type]]:
    """Find the concrete classes below ``base`` that a specification can name."""
    for name, cls in sorted(inspect.getmembers(module, inspect.isclass)):
        if issubclass(cls, base) and cls is not base and not name.startswith("_") and not inspect.isabstract(cls):
            yield name, cls


def _estimator(kind: str, cls: type) -> dict[str, Any]:
    parameters = _read_parameters(cls)
    kernel = parameters.pop(KERNEL_PARAMETER, None)
    return {
        "kind": kind,
        "groups": 2 if issubclass(cls, PairwiseCBMAEstimator) else 1,
        "kernel": kernel["default"] if kernel else None,
        "prefixes": ["kernel__"] if kernel else ["resample__"],
        "gives_p_map": cls.__name__ not in WITHOUT_P_MAP,
        "parameters": parameters,
        "corrections": {family: _correction_methods(cls, family, skip_positional=2) for family in ("fdr", "fwe")},
    }


def _corrector(cls: Any) -> dict[str, Any]:
    parameters = _read_parameters(cls)
    # the documentation misspells one of the methods; those that exist are listed under "methods"
    parameters["method"].pop("choices", None)
    return {
        "family": cls._correction_method,
        "parameters": parameters,
        "methods": _correction_methods(cls, cls._correction_method, skip_positional=2),
    }


def _correction_methods(cls: type, family: str, *, skip_positional: int) -> dict[str, Any]:
    """Describe the arguments of each ``correct_<family>_*`` method, without self and what is corrected."""
    prefix = f"correct_{family}_"
    return {
        name.removeprefix(prefix): _describe_all(method, skip_positional)
        for name, method in inspect.getmembers(cls, inspect.isfunction)
        if name.startswith(prefix) and not _is_for_one_group_only(cls, name)
    }


def _is_for_one_group_only(cls: type, name: str) -> bool:
    """Whether an estimator of two groups only inherits a method that reads the maps of an estimator of one group."""
    return issubclass(cls, PairwiseCBMAEstimator) and getattr(cls, name) is getattr(CBMAEstimator, name, None)


def _read_parameters(cls: type) -> dict[str, dict[str, Any]]:
    """Collect constructor arguments along the class hierarchy, as far as ``**kwargs`` hand them on."""
    documented: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__):
        documented.update(_documented_types(ancestor))
    parameters: dict[str, dict[str, Any]] = {}
    for ancestor in cls.__mro__:
        constructor = vars(ancestor).get("__init__")
        if not inspect.isfunction(constructor):
            continue
        for name, described in _describe_all(constructor, 1, documented).items():
            parameters.setdefault(name, described)
        kinds = {parameter.kind for parameter in inspect.signature(constructor).parameters.values()}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return parameters


def _describe_all(
    function: Callable[..., Any], skip_positional: int, documented: dict[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    documented = _documented_types(function) if documented is None else documented
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {
        parameter.name: _describe(parameter, documented.get(parameter.name, ""))
        for parameter in list(inspect.signature(function).parameters.values())[skip_positional:]
        if parameter.kind not in variable
    }


def _documented_types(documented: Any) -> dict[str, str]:
    """Read the types that a NumPy-style docstring gives, by parameter."""
    section = _SECTION.search(inspect.cleandoc(documented.__doc__ or ""))
    if section is None:
        return {}
    return {name.strip(): text for names, text in _ENTRY.findall(section[1]) for name in names.split(",")}


def _describe(parameter: inspect.Parameter, documented: str) -> dict[str, Any]:
    """Describe one argument: default, types, choices, whether it may be null, whether it must be given."""
    types, choices = _documented_kinds(documented)
    described: dict[str, Any] = {}
    default = parameter.default
    undocumented = UNDOCUMENTED_CHOICES.get((parameter.name, str(default)), [])
    if undocumented:
        choices += undocumented
        types.discard("string")
    if default is inspect.Parameter.empty:
        described["required"] = True
    elif default is None or type(default) in _TYPE_OF_DEFAULT:
        described["default"] = default
    elif inspect.isclass(default):
        described["default"] = default.__name__
    if type(default) in _TYPE_OF_DEFAULT and not (choices and isinstance(default, str)):
        types.add(_TYPE_OF_DEFAULT[type(default)])
    if default is None or re.search(r"\bNone\b", documented):
        described["nullable"] = True
    if types:
        described["types"] = [word for word in _TYPE_ORDER if word in types]
    if choices:
        described["choices"] = choices
    return described


def _documented_kinds(documented: str) -> tuple[set[str], list[str]]:
    """Split a documented type into JSON's types and the words that may be chosen from."""
    listed = re.search(r"\{[^}]*\}", documented)
    values = ast.literal_eval(f"[{listed[0].strip('{}')}]") if listed else []
    types = {_TYPE_WORDS[word] for word in re.findall(r"[\w.-]+", documented) if word in _TYPE_WORDS}
    if any(isinstance(value, bool) for value in values) or re.search(r"\b(or|,) (True|False)\b", documented):
        types.add("boolean")
    return types, [value for value in values if isinstance(value, str)]


def as_text(signatures: dict[str, Any]) -> str:
    """Format signatures as they stand in the file."""
    return json.dumps(signatures, indent=1) + "\n"


def main() -> None:
    """Write the file anew."""
    SIGNATURES_PATH.write_text(as_text(collect()), encoding="utf-8")


if __name__ == "__main__":
    main()
