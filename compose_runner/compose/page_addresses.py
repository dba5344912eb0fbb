"""Read the id of a meta-analysis out of the address of its page on Neurosynth Compose, which people copy as a whole."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from compose_runner.compose.environments import ENVIRONMENTS, environment_named
from compose_runner.errors import AnalysisError

EXAMPLE_ID = "ataCTPAt2LMw"
WHAT_AN_ID_IS = (
    f"An id is the last part of the address of a meta-analysis's page, such as {EXAMPLE_ID} in "
    f"https://compose.neurosynth.org/meta-analyses/{EXAMPLE_ID}"
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_COLLECTION = "meta-analyses"


def parse_meta_analysis(text: str, environment: str) -> tuple[str, str]:
    """Give the id of a meta-analysis and its environment.

    Parameters
    ----------
    text : str
        An id, or the address of a page below ``/meta-analyses/ID`` or ``/projects/ID/meta-analyses/ID``, with or
        without ``https://``.
    environment : str
        The environment of an id; the host of an address tells its own.

    Raises
    ------
    AnalysisError
        The text is an address, and not that of a meta-analysis.
    """
    stripped = text.strip()
    hosts = _hosts()
    host = stripped.partition("/")[0].lower()
    if _SCHEME.match(stripped):
        parts = urlsplit(stripped)
    elif host in hosts and "/" in stripped:
        parts = urlsplit(f"//{stripped}")
    else:
        return text, environment
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    if _COLLECTION in segments[:-1]:
        identity = segments[segments.index(_COLLECTION) + 1]
        return identity, hosts.get(parts.netloc.lower(), environment)
    if segments[:1] == ["projects"]:
        raise AnalysisError(
            f"{stripped} is the page of a project. Open one of its meta-analyses, and give the address of that page. "
            f"{WHAT_AN_ID_IS}"
        )
    raise AnalysisError(f"{stripped} is not the address of a meta-analysis. {WHAT_AN_ID_IS}")


def describe_missing(meta_analysis_id: str, environment: str) -> str:
    """Say what to look at when Compose does not have a meta-analysis.

    Parameters
    ----------
    meta_analysis_id : str
        What was asked for.
    environment : str
        Where.
    """
    others = " or ".join(f"--environment {name}" for name in ENVIRONMENTS if name not in (environment, "local"))
    return (
        f"Neurosynth Compose ({environment}) has no meta-analysis {meta_analysis_id}. {WHAT_AN_ID_IS}. "
        f"The id of a project or of a studyset is another. If it is on another Compose, name that with {others}"
    )


def _hosts() -> dict[str, str]:
    """Environments by the host of their pages."""
    apis = {name: environment_named(name, {}).compose_api for name in ENVIRONMENTS}
    return {urlsplit(address).netloc: name for name, address in apis.items()}
