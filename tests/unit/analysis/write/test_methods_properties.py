"""Whatever a specification that is accepted asks for, its methods text is whole and cites what is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from compose_runner.analysis.write.methods import methods_text
from compose_runner.errors import SpecificationError
from compose_runner.specification.estimators import correction_methods
from compose_runner.specification.parsing import parse_specification
from compose_runner.specification.signatures import signatures
from tests.support.form import document
from tests.support.methods_texts import record

if TYPE_CHECKING:
    from compose_runner.specification.signatures import Parameter

NUMBERS = st.sampled_from([0, 0.01, 0.5, 1, 2, 6.5, 10, 30, 1000])


def values(parameter: Parameter) -> st.SearchStrategy[Any]:
    if parameter.choices:
        return st.sampled_from(parameter.choices)
    kinds = {
        "boolean": st.booleans(),
        "string": st.sampled_from(["a", "<b>", "\\input{x}"]),
        "array": st.just([[1, 2, 3]] if parameter.name == "xyz" else [0.1, 0.2]),
    }
    return st.one_of(*(kinds.get(kind, NUMBERS) for kind in parameter.types or ("number",)))


@st.composite
def some_of(draw: st.DrawFn, parameters: dict[str, Parameter]) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(parameters)), max_size=4, unique=True)) if parameters else []
    return {name: draw(values(parameters[name])) for name in names}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    signature = signatures().estimators[draw(st.sampled_from(sorted(signatures().estimators)))]
    kernel = signatures().kernels.get(str(signature.kernel), {})
    args = draw(some_of({**signature.parameters, **{f"kernel__{name}": one for name, one in kernel.items()}}))
    corrector = draw(st.sampled_from([None, *signatures().correctors]))
    methods = {} if corrector is None else correction_methods(corrector, signature)
    if not methods:
        return document(signature.name, args)
    method = draw(st.sampled_from(sorted(methods)))
    taken = draw(some_of(methods[method]))
    return document(signature.name, args, {"type": corrector, "args": {**taken, "method": method}})


@given(documents())
@settings(max_examples=300, deadline=None)
def test_every_accepted_specification_has_a_text_with_its_references(asked: dict[str, Any]) -> None:
    try:
        specification = parse_specification(asked)
    except SpecificationError:
        return

    made = methods_text(specification, record(specification))

    cited = {key for keys in re.findall(r"\\cite\w*\{([^}]*)\}", made.text) for key in keys.split(",")}
    assert cited == set(re.findall(r"^@\w+\{([^,]+),", made.bibtex, re.MULTILINE))
    words = re.sub(r"\\cite\w*\{[^}]*\}", "", made.text)
    assert not re.search(r"[{}<>](?! [\d.e-]+\$)|None|True|False|nan|input", words)
