"""What the gateway answers besides the four functions.

Pages, the documentation and ``/health`` hold nothing of a job or a person, so that they need no token: a browser cannot
send one with the first request. What the pages ask for needs it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

from pydantic import ValidationError

from compose_runner.local.pages.documentation import documentation_page, service_document
from compose_runner.local.sent_bundles import MAX_BUNDLE_BYTES
from compose_runner.local.state.removal import JobNotKnownError, JobNotRemovedError
from compose_runner.local.visitors import RefusedError
from compose_runner.service.errors import AwsServiceError, JobNameTakenError, RequestError, TooManyJobsError
from compose_runner.service.pages import prefers_page, read_page
from compose_runner.service.storage import ARTIFACT_PREFIX_RULE, is_artifact_prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from compose_runner.service.contract import SubmitReply

_FOLDER = Path(__file__).parent
_JSON = {"content-type": "application/json", "cache-control": "no-store"}
Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True, slots=True)
class GatewayRequest:
    """A request that was let in.

    Parameters
    ----------
    method : str
        Of HTTP.
    path : str
        With the slash at its beginning, percent-encoded.
    query : str
        Without the question mark.
    accept : str or None
        The header.
    body : callable
        Reads the body, of at most so many bytes.
    """

    method: str
    path: str
    query: str
    accept: str | None
    body: Callable[[int], bytes]

    @property
    def name(self) -> str:
        """The first part of the path."""
        return self.path.removeprefix("/").partition("/")[0]

    @property
    def rest(self) -> str:
        """What follows the first part of the path, decoded."""
        return unquote(self.path.removeprefix("/").partition("/")[2])


@dataclass(frozen=True, slots=True)
class Routes:
    """Answers of the embedded service itself.

    Parameters
    ----------
    jobs : callable
        Lists the newest jobs.
    start_bundle : callable
        Starts a job from a bundle: takes its bytes, the job's name and the number of cores.
    remove : callable
        Removes the job of a name; gives what of its folder stays.
    job_id : callable
        Gives the id of the job of a name.
    """

    jobs: Callable[[], list[dict[str, Any]]]
    start_bundle: Callable[[bytes, str | None, str | None], SubmitReply]
    remove: Callable[[str], list[Path]]
    job_id: Callable[[str], str]
    _pages: dict[str, Callable[[], Any]] = field(default_factory=dict)

    def public_answer(self, request: GatewayRequest) -> Answer | None:
        """Answer what needs no token; None for everything else."""
        if request.method not in ("GET", "HEAD"):
            return None
        name = request.name
        if name == "health" and not request.rest:
            return _json({"status": "ok"})
        page = None
        if name == "docs" and not request.rest:
            page = documentation_page()
        elif prefers_page(request.accept):
            if name == "jobs":
                # a browser's address has the job's id, which the page hands to the function
                target = f"/status{quote(self.function_path(request) or '', safe='/:')}" if request.rest else "/"
                return HTTPStatus.SEE_OTHER, {"location": target, "vary": "Accept", "cache-control": "no-store"}, b""
            if name == "":
                page = read_page("jobs", _FOLDER)
            elif name == "status":
                page = read_page("job")
        return None if page is None else (HTTPStatus.OK, _lower(page.headers), page.html.encode())

    def answer(self, request: GatewayRequest) -> Answer | None:
        """Answer what is no function's; None for everything else."""
        name, rest = request.name, request.rest
        if name == "openapi.json" and not rest:
            _allow(request, "GET", "HEAD")
            return HTTPStatus.OK, dict(_JSON), json.dumps(service_document(), indent=2).encode()
        if name == "jobs" and not rest:
            _allow(request, "GET", "HEAD")
            return _json({"jobs": self.jobs()})
        if name == "jobs" and request.method == "DELETE":
            return self._remove(rest)
        if name == "bundles" and not rest:
            _allow(request, "POST")
            return self._start_bundle(request)
        return None

    def function_path(self, request: GatewayRequest) -> str | None:
        """Path below *status* of a job's address at the root, by its id or its name; None for any other address."""
        if request.name != "jobs" or not request.rest:
            return None
        _allow(request, "GET", "HEAD", "POST", "DELETE")
        job = request.rest
        return f"/jobs/{self.job_id(job) if is_artifact_prefix(job) else job}"

    def _remove(self, job: str) -> Answer:
        name = self._name(job)
        try:
            left = self.remove(name)
        except JobNotKnownError as error:
            raise RefusedError(HTTPStatus.NOT_FOUND, str(error)) from None
        except JobNotRemovedError as error:
            raise RefusedError(HTTPStatus.CONFLICT, str(error)) from None
        return _json({"artifact_prefix": name, "status": "REMOVED", "left": [path.name for path in left]})

    def _name(self, job: str) -> str:
        name = job.rpartition(":")[2]
        if not is_artifact_prefix(name):
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"artifact_prefix: {ARTIFACT_PREFIX_RULE}")
        if job not in (name, self.job_id(name)):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "job_id: it is an execution of another state machine")
        return name

    def _start_bundle(self, request: GatewayRequest) -> Answer:
        fields = dict(parse_qsl(request.query))
        content = request.body(MAX_BUNDLE_BYTES)
        try:
            reply = self.start_bundle(content, fields.get("artifact_prefix"), fields.get("n_cores"))
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)[0]
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"{wrong['loc'][0]}: {wrong['msg']}") from None
        except RequestError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from None
        except JobNameTakenError as error:
            raise RefusedError(HTTPStatus.CONFLICT, str(error)) from None
        except TooManyJobsError as error:
            headers = {"retry-after": str(error.retry_seconds)}
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, str(error), headers) from None
        except AwsServiceError as error:
            raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from None
        return HTTPStatus.ACCEPTED, dict(_JSON), reply.model_dump_json(exclude_unset=True).encode()


def _allow(request: GatewayRequest, *methods: str) -> None:
    if request.method not in methods:
        allowed = ", ".join(methods)
        raise RefusedError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"The method {request.method[:20]} is not one of {allowed}.",
            {"allow": allowed},
        )


def _json(document: Any) -> Answer:
    return HTTPStatus.OK, dict(_JSON), json.dumps(document).encode()


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
