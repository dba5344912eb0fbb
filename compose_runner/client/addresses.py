"""Which service a client speaks to, and how its requests are signed.

The first of these that is there counts:

1. an endpoint or a profile that is named,
2. ``COMPOSE_RUNNER_ENDPOINT``, or ``COMPOSE_RUNNER_SUBMIT_URL``, ``..._STATUS_URL``, ``..._LOGS_URL`` and
   ``..._RESULTS_URL`` (with ``COMPOSE_RUNNER_AUTH=iam`` for URLs that want signed requests),
3. the profile ``default`` of the profile file,
4. the embedded service's own address.

The profile file is TOML::

    [default]
    endpoint = "http://127.0.0.1:8642"

    [lab]
    submit = "https://abc.lambda-url.us-east-1.on.aws/"
    status = "https://def.lambda-url.us-east-1.on.aws/"
    logs = "https://ghi.lambda-url.us-east-1.on.aws/"
    results = "https://jkl.lambda-url.us-east-1.on.aws/"
    auth = "iam"               # sign requests with AWS credentials
    aws_profile = "lab"        # optional
    region = "us-east-1"       # optional: the one in the address by default

A service that wants a token (``compose-runner serve --token``) gets the one that is named, that of the profile
(``token``), or that of ``COMPOSE_RUNNER_TOKEN``.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from compose_runner.errors import AnalysisError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ENDPOINT = "http://127.0.0.1:8642"
FUNCTIONS = ("submit", "status", "logs", "results")
# the list of jobs, which the embedded service has beside them
JOBS = "jobs"
ENDPOINT_VARIABLE = "COMPOSE_RUNNER_ENDPOINT"
AUTH_VARIABLE = "COMPOSE_RUNNER_AUTH"
PROFILES_VARIABLE = "COMPOSE_RUNNER_PROFILES"
TOKEN_VARIABLE = "COMPOSE_RUNNER_TOKEN"  # noqa: S105 - a name
DEFAULT_PROFILE = "default"
IAM = "iam"
_ADDRESS = re.compile(r"https?://[^/\s]+")
_REGION_IN_HOST = re.compile(r"\.lambda-url\.([a-z0-9-]+)\.on\.aws(?:[:/]|$)")
_KNOWN = {*FUNCTIONS, "endpoint", "auth", "aws_profile", "region", "token"}


class SettingsError(AnalysisError):
    """The client's settings do not name a service."""


@dataclass(frozen=True, slots=True)
class ServiceAddresses:
    """Where a service's functions are.

    Parameters
    ----------
    urls : mapping
        Address of each function, by ``submit``, ``status``, ``logs``, ``results``.
    sign : bool
        Whether requests are signed with AWS credentials (Signature Version 4).
    aws_profile : str or None
        Whose credentials; those of the environment by default.
    region : str or None
        The functions' region; the one in their address by default.
    token : str or None
        What a service that wants a token gets with every request that is not signed.
    """

    urls: Mapping[str, str]
    sign: bool = False
    aws_profile: str | None = None
    region: str | None = None
    token: str | None = field(default=None, repr=False)
    _sessions: list[Any] = field(default_factory=list, repr=False, compare=False)

    def function_url(self, function: str) -> str:
        """Address of one function.

        Raises
        ------
        SettingsError
            The settings do not name it, or what they name is not an address.
        """
        url = self.urls.get(function)
        if not url and function == JOBS:
            raise SettingsError("this service has no list of jobs; only compose-runner serve keeps one")
        if not url:
            raise SettingsError(
                f"the address of {function} is not set: give --endpoint, a profile or "
                f"COMPOSE_RUNNER_{function.upper()}_URL"
            )
        if not _ADDRESS.match(url):
            raise SettingsError(f"{url!r} is not the address of {function}: it must begin with https:// or http://")
        return url

    def signed(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
        """Headers of a request, with a signature or a token if the service wants one.

        Raises
        ------
        SettingsError
            There are no credentials, or no region.
        """
        if not self.sign:
            return {**headers, "Authorization": f"Bearer {self.token}"} if self.token else headers
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        found = _REGION_IN_HOST.search(url)
        region = self.region or (found[1] if found else None)
        if region is None:
            raise SettingsError(f"the region of {url} is not known: set region in the profile")
        request = AWSRequest(method=method, url=url, data=body, headers=headers)
        SigV4Auth(self._credentials(), "lambda", region).add_auth(request)
        return dict(request.headers.items())

    def _credentials(self) -> Any:
        import botocore.session
        from botocore.exceptions import BotoCoreError

        if not self._sessions:
            self._sessions.append(botocore.session.Session(profile=self.aws_profile))
        try:
            credentials = self._sessions[0].get_credentials()
        except BotoCoreError as error:
            raise SettingsError(f"no AWS credentials: {error}") from None
        if credentials is None:
            raise SettingsError("no AWS credentials were found to sign the request with")
        return credentials


def profiles_path(variables: Mapping[str, str] = os.environ) -> Path:
    """Where the profile file is."""
    given = variables.get(PROFILES_VARIABLE)
    return Path(given) if given else platformdirs.user_config_path("compose-runner", appauthor=False) / "profiles.toml"


def addresses(
    endpoint: str | None = None,
    profile: str | None = None,
    variables: Mapping[str, str] = os.environ,
    *,
    token: str | None = None,
) -> ServiceAddresses:
    """Find the service, in the order that the module's description gives.

    Parameters
    ----------
    endpoint, profile : str, optional
        What the caller names.
    variables : mapping
        The environment.
    token : str, optional
        The service's token, where the caller names it.

    Raises
    ------
    SettingsError
        The profile does not exist or is not valid, or the token cannot be sent.
    """
    found = _addresses(endpoint, profile, variables)
    token = (token or found.token or variables.get(TOKEN_VARIABLE, "")).strip()
    if not (token.isascii() and token.isprintable()):
        raise SettingsError("the token must be printable ASCII characters")
    return replace(found, token=token or None)


def _addresses(endpoint: str | None, profile: str | None, variables: Mapping[str, str]) -> ServiceAddresses:
    sign = variables.get(AUTH_VARIABLE, "").strip().lower() == IAM
    if endpoint:
        return ServiceAddresses(_below(endpoint), sign)
    if profile:
        return _from_profile(profile, profiles_path(variables), required=True)
    urls = {name: variables.get(f"COMPOSE_RUNNER_{name.upper()}_URL", "") for name in FUNCTIONS}
    given = variables.get(ENDPOINT_VARIABLE)
    if given:
        return ServiceAddresses({**_below(given), **{name: url for name, url in urls.items() if url}}, sign)
    if any(urls.values()):
        return ServiceAddresses(urls, sign)
    return _from_profile(DEFAULT_PROFILE, profiles_path(variables), required=False)


def _below(endpoint: str) -> dict[str, str]:
    return {name: f"{endpoint.rstrip('/')}/{name}" for name in (*FUNCTIONS, JOBS)}


def _from_profile(name: str, path: Path, *, required: bool) -> ServiceAddresses:
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        profiles = {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"the profile file {path} cannot be read: {error}") from None
    profile = profiles.get(name)
    if profile is None:
        if not required:
            return ServiceAddresses(_below(DEFAULT_ENDPOINT))
        known = ", ".join(sorted(profiles)) or "none"
        raise SettingsError(f"there is no profile {name} in {path} (there is: {known})")
    if not isinstance(profile, dict) or not all(isinstance(value, str) for value in profile.values()):
        raise SettingsError(f"the profile {name} in {path} must be a table of texts")
    unknown = sorted(set(profile) - _KNOWN)
    if unknown:
        raise SettingsError(f"the profile {name} in {path} has unknown settings: {', '.join(unknown)}")
    urls = _below(profile["endpoint"]) if "endpoint" in profile else {}
    urls |= {function: profile[function] for function in FUNCTIONS if function in profile}
    return ServiceAddresses(
        urls,
        sign=profile.get("auth", "").lower() == IAM,
        aws_profile=profile.get("aws_profile"),
        region=profile.get("region"),
        token=profile.get("token"),
    )
