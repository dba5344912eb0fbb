"""Where the application's own files are: the template, the functions, the task and its state machine."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = "template.yaml"
# a wheel carries the application's files below the package, under this name
_PACKAGED = "application"


def application_root() -> Path:
    """Directory that holds ``template.yaml``, ``functions/`` and ``task/``.

    A checkout comes first, so that what is edited is what runs; an installed package brings a copy along.

    Raises
    ------
    FileNotFoundError
        Neither is there.
    """
    package = Path(__file__).resolve().parents[2]
    candidates = (package.parent, package / _PACKAGED)
    for candidate in candidates:
        if (candidate / TEMPLATE).is_file() and (candidate / "functions").is_dir():
            return candidate
    looked = " and ".join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(f"the application ({TEMPLATE}, functions, task) is neither in {looked}")
