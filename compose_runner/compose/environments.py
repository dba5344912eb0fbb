"""Where Neurosynth Compose and NeuroStore live, per environment; said here and nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ENVIRONMENT = "production"
COMPOSE_API_URL = "COMPOSE_API_URL"
NEUROSTORE_API_URL = "NEUROSTORE_API_URL"
REFERENCE_STUDYSETS_URL = "REFERENCE_STUDYSETS_URL"
_REFERENCE_STUDYSETS = "https://github.com/neurostuff/neurostore_database/raw"

_ADDRESSES = {
    "production": ("https://compose.neurosynth.org/api", "https://neurostore.org/api"),
    "staging": ("https://staging.synth.neurostore.xyz/api", "https://staging.neurostore.xyz/api"),
    "development": ("https://dev.synth.neurostore.xyz/api", "https://dev.neurostore.xyz/api"),
    "local": ("http://localhost:81/api", "http://localhost:80/api"),
}
ENVIRONMENTS = tuple(_ADDRESSES)


@dataclass(frozen=True, slots=True)
class Environment:
    """One deployment of Compose and of NeuroStore.

    Parameters
    ----------
    name : str
        ``production``, ``staging``, ``development`` or ``local``.
    compose_api, neurostore_api : str
        Base addresses, without a slash at the end.
    """

    name: str
    compose_api: str
    neurostore_api: str

    def find_page(self, meta_analysis_id: str) -> str:
        """Address of the page on which a person sees the meta-analysis."""
        return f"{self.compose_api.removesuffix('/api')}/meta-analyses/{meta_analysis_id}"


def environment_named(name: str | None, variables: Mapping[str, str] | None = None) -> Environment:
    """Find an environment; any word that is not one of :data:`ENVIRONMENTS` counts as production.

    Parameters
    ----------
    name : str or None
        The environment's name, in any case.
    variables : mapping, optional
        Where ``COMPOSE_API_URL`` and ``NEUROSTORE_API_URL`` are looked up, which replace the environment's hosts;
        the process's environment by default.
    """
    variables = os.environ if variables is None else variables
    name = (name or "").strip().lower()
    name = name if name in _ADDRESSES else DEFAULT_ENVIRONMENT
    compose_api, neurostore_api = _ADDRESSES[name]
    return Environment(
        name=name,
        compose_api=(variables.get(COMPOSE_API_URL) or compose_api).rstrip("/"),
        neurostore_api=(variables.get(NEUROSTORE_API_URL) or neurostore_api).rstrip("/"),
    )


def reference_studysets(environment: Environment, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """List the reference studysets of an environment: name to address.

    Parameters
    ----------
    environment : Environment
        Production has its own branch of the static ones; NeuroStore's own is served by the environment's API.
    variables : mapping, optional
        Where ``REFERENCE_STUDYSETS_URL`` is looked up, which replaces the base address of the static ones; the
        process's environment by default.
    """
    variables = os.environ if variables is None else variables
    base = (variables.get(REFERENCE_STUDYSETS_URL) or _REFERENCE_STUDYSETS).rstrip("/")
    production = environment.name == DEFAULT_ENVIRONMENT
    names = ("neurosynth", "neuroquery", *(() if production else ("neurostore_small",)))
    branch = "main" if production else "staging"
    addresses = {name: f"{base}/{branch}/{name}.json.gz" for name in names}
    addresses["neurostore"] = f"{environment.neurostore_api}/neurostore-studyset-releases/nightly/download"
    return addresses
