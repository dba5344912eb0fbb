"""The layer ships what the functions import and nothing else, and the documentation shows the tree that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import grimp
import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "compose_runner"
FUNCTIONS = ("submit", "status", "logs", "results")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("compose_runner", "functions", exclude_type_checking_imports=True, cache_dir=None)


def shipped() -> set[str]:
    """Modules that the layer's Makefile lists."""
    text = (PACKAGE / "Makefile").read_text().replace("\\\n", " ")
    found = re.search(r"^MODULES = (.*)$", text, re.MULTILINE)
    assert found is not None
    names = ("compose_runner." + path.replace("/", ".") for path in found[1].split())
    return {name.removesuffix(".__init__") for name in names}


def test_the_layer_ships_what_the_functions_import_and_nothing_else(graph: grimp.ImportGraph) -> None:
    needed: set[str] = set()
    for function in FUNCTIONS:
        needed |= graph.find_upstream_modules(f"functions.{function}.app")
    needed = {module for module in needed if module.startswith("compose_runner")}
    for module in list(needed):  # a module's packages are imported with it
        parts = module.split(".")
        needed |= {".".join(parts[:n]) for n in range(1, len(parts))}

    assert shipped() == needed


def test_every_file_of_the_layer_is_there() -> None:
    for module in shipped():
        path = REPOSITORY / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module


def test_the_tree_of_the_documentation_is_that_of_the_package() -> None:
    tree = (REPOSITORY / "docs" / "architecture.md").read_text().split("```")[1]
    packages = {path.parent for path in PACKAGE.rglob("__init__.py")}
    modules = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("_")}

    assert modules == set(re.findall(r"\b\w+\.py\b", tree.split("specification/")[0]))
    # a folder stands in the tree where its line begins, or with what its package holds
    assert {path.name for path in packages} | {"functions", "task"} == set(re.findall(r"\b(\w+)/", tree))


def test_no_module_imports_another_by_its_name_but_the_commands() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    by_name = {path.relative_to(PACKAGE).as_posix() for path, text in texts.items() if "import_module(" in text}

    # a subcommand, a handler, and modules of NiMARE or matplotlib by which class is asked for
    assert by_name <= {
        "cli.py",
        "local/functions/worker.py",
        "specification/generate.py",
        "analysis/interpreter.py",
        "analysis/process_state.py",
        "analysis/compute/estimators.py",
        "analysis/compute/engine/__init__.py",
        "analysis/compute/patches/replacing.py",
    }


def read_imports(path: Path) -> set[str]:
    """Give the names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imported_with_support(path: Path) -> set[str]:
    """Give what a test imports, by itself or by a module of ``tests/support``."""
    found = read_imports(path)
    open_ends, seen = list(found), set()
    while open_ends:
        parts = open_ends.pop().split(".")
        if parts[:2] != ["tests", "support"] or parts[2] in seen:
            continue
        seen.add(parts[2])
        more = read_imports(REPOSITORY / "tests" / "support" / f"{parts[2]}.py")
        open_ends += more
        found |= more
    return found


UNIT_TESTS = sorted((REPOSITORY / "tests" / "unit").rglob("test_*.py"))


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_a_unit_test_needs_no_aws(path: Path) -> None:
    packages = {name.partition(".")[0] for name in imported_with_support(path)}

    assert not packages & {"moto", "boto3", "botocore", "s3transfer"}


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_a_unit_test_lies_where_its_module_does(path: Path) -> None:
    folder = PACKAGE / path.parent.relative_to(REPOSITORY / "tests" / "unit")
    module = path.stem.removeprefix("test_").removesuffix("_properties")

    there = (folder / f"{module}.py").is_file() or (folder / module / "__init__.py").is_file()
    assert there, f"{path.relative_to(REPOSITORY)} has no module {folder / module}.py"


def test_nothing_outside_the_tests_imports_them() -> None:
    folders = ("compose_runner", "functions", "task", "benchmarks", "scripts", "examples", "docs")
    files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]

    by_path = re.compile(r"""["']tests["'] */ *["']support["']|tests[./]support""")
    assert [path for path in files if by_path.search(path.read_text(encoding="utf-8"))] == []
    assert [path for path in files if any(re.match(r"tests\b", name) for name in read_imports(path))] == []
