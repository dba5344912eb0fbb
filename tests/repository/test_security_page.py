"""The page on security names tests that exist, and the rules that it states hold for every module."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
MODULES = [
    path for package in ("compose_runner", "functions", "task") for path in sorted((REPOSITORY / package).rglob("*.py"))
]
# what runs code that is in its argument
RUNS_CODE = {
    "eval",
    "exec",
    "pickle.load",
    "pickle.loads",
    "joblib.load",
    "read_pickle",
    "marshal.loads",
    "shelve.open",
}
# moto's own parse of a definition, made and read in one process
EXCEPTIONS = {("compose_runner/local/aws/moto_patches", "pickle.loads")}


def test_each_threat_has_a_test_that_is_named() -> None:
    table = PAGE.partition("## Each threat")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 30
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_the_page_names_exists(path: str, name: str) -> None:
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w/*]*test_[\w*]+\.py)`", PAGE))))
def test_a_file_of_tests_that_the_page_names_exists(name: str) -> None:
    assert list((REPOSITORY / "tests").rglob(name))


def calls_that_run_code(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = {name for name in called if name in RUNS_CODE or name.endswith(".read_pickle")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = {one.arg: ast.unparse(one.value) for one in node.keywords}
            if given.get("shell") == "True" or given.get("allow_pickle") == "True":
                found.add(ast.unparse(node))
            if ast.unparse(node.func) in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
                found.add(ast.unparse(node))
    return found


def test_nothing_is_loaded_that_could_run_code() -> None:
    found = {
        (path.relative_to(REPOSITORY).parent.as_posix(), call) for path in MODULES for call in calls_that_run_code(path)
    }
    assert found <= EXCEPTIONS


# what makes, replaces or removes a file by its name; ``replace`` with one argument is that of a path
CHANGES_FILES = {
    *("atomic_write", "private_write", "write_text", "write_bytes", "touch", "truncate", "mkstemp"),
    *("copyfile", "copy2", "copytree", "move", "extract", "extractall", "link", "hardlink_to", "symlink", "symlink_to"),
    *("unlink", "rmtree", "rmdir", "removedirs", "rename", "chmod", "to_csv", "to_filename", "savefig"),
    *("os.remove", "shutil.copy", "np.save", "np.savez", "np.savez_compressed"),
}
# by what is a person's file there safe, and which test says so
CHANGING = {
    # into the folder of ResultDirectory.writing, whose record decides: test_result_directory*.py
    "compose_runner/analysis/write": CHANGES_FILES | {"open", "replace"},
    "compose_runner/analysis/stages.py": {"open", "unlink", "write_text"},
    "compose_runner/analysis/compute/coverage.py": {"atomic_write"},
    # in .compose-runner, which holds nothing else: test_result_directory.py
    "compose_runner/analysis/compute/checkpoints.py": {"atomic_write", "np.savez_compressed", "rmtree", "write_bytes"},
    "compose_runner/analysis/select/map_files.py": {"copyfile", "replace", "unlink"},
    # in the cache, under names with a checksum of the address: test_reference.py
    "compose_runner/analysis/select/reference.py": {"atomic_write", "extract", "unlink"},
    "compose_runner/analysis/fetch/downloads.py": {"open", "replace", "unlink"},
    # what is there already is left alone: test_bundle_files.py, test_client.py
    "compose_runner/analysis/fetch/bundle_files.py": {"atomic_write"},
    "compose_runner/client/download.py": {"open", "replace", "unlink"},
    # in the service's data, which holds nothing else: state/test_directory.py
    "compose_runner/local/state": CHANGES_FILES | {"open"},
    "compose_runner/local/demo/compose.py": {"private_write"},
    # for the modules above, and folders that tempfile made
    "compose_runner/files.py": {"chmod", "replace", "unlink"},
    "compose_runner/signals.py": {"rmtree"},
    "compose_runner/local/aws/containers.py": {"rmtree"},
    # the container of the task has nobody else's files
    "task/job_objects.py": {"rmtree", "unlink"},
    # files of this repository, and .make/demo
    "compose_runner/specification/generate.py": {"write_text"},
    "scripts/demo.py": {"open", "rmtree"},
    "scripts/pictures.py": {"open", "write_text"},
    "scripts/viewer.py": {"write_bytes", "write_text"},
}


def calls_that_change_files(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        whole = ast.unparse(node.func)
        name = whole.rpartition(".")[2]
        texts = {
            one.value for one in [*node.args, *(word.value for word in node.keywords)] if isinstance(one, ast.Constant)
        }
        if {name, whole} & CHANGES_FILES:
            found.add(name if name in CHANGES_FILES else whole)
        elif (name == "replace" and len(node.args) == 1 and not node.keywords) or (
            name == "open"
            and (texts & {"w", "wb", "x", "xb", "a", "ab", "r+", "r+b", "w+b"} or "O_CREAT" in ast.unparse(node))
        ):
            found.add(name)
    return found


@pytest.mark.parametrize(
    "path",
    [*MODULES, *sorted((REPOSITORY / "scripts").glob("*.py"))],
    ids=lambda path: path.relative_to(REPOSITORY).as_posix(),
)
def test_whatever_changes_files_is_known_to_leave_those_of_a_person_alone(path: Path) -> None:
    """A module that is new here needs a test like those of the others, which are named above."""
    name = path.relative_to(REPOSITORY).as_posix()
    allowed = [calls for known, calls in CHANGING.items() if name == known or name.startswith(f"{known}/")]
    assert calls_that_change_files(path) <= set().union(*allowed)


def test_no_target_removes_results() -> None:
    for name in ("Makefile", "deploy.mk"):
        for line in re.findall(r"\brm -\w+ (.*)", (REPOSITORY / name).read_text(encoding="utf-8")):
            assert not re.search("results", line)
