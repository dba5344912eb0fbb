"""The image of the task is built from files that its context holds and that the wheel needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
DOCKERFILE = (REPOSITORY / "task/Dockerfile").read_text()
BUILD_STAGE = DOCKERFILE.split("\nFROM ")[1]
COPIED = {
    source.rstrip("/") for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", BUILD_STAGE) for source in line.split()[:-1]
}
CONTEXT = {
    line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")
}


def test_everything_that_the_wheel_is_made_of_is_copied() -> None:
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = PYPROJECT["project"]
    needed = {
        "pyproject.toml",
        project["readme"],
        *project["license-files"],
        *wheel["packages"],
        *wheel["force-include"],
    }
    assert needed <= COPIED


def test_everything_that_is_copied_exists_and_is_in_the_context() -> None:
    for source in COPIED:
        assert (REPOSITORY / source).exists(), source
        assert source.split("/")[0] in CONTEXT, f".dockerignore leaves out {source}"


def test_every_package_in_the_image_is_checked_against_its_hash() -> None:
    installs = re.findall(r"-m pip .*?install ([^\\\n&]+)", BUILD_STAGE)
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or install.strip() == "--no-deps /wheels/*.whl", install
