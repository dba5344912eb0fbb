"""AWS clients: made once per process when they are first needed, with time-outs, retries and traces.

They are boto3's own clients, made by botocore, on which boto3 is a layer that costs a cold start another 30 ms; what
botocore reads before it makes one comes from :mod:`compose_runner.aws.service_data`.
"""

from __future__ import annotations

import logging
import os
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from compose_runner.aws import service_data
from compose_runner.xray import Subsegment

if TYPE_CHECKING:
    import botocore.session

STEP_FUNCTIONS = "stepfunctions"
S3 = "s3"
LOGS = "logs"
PARAMETERS = "ssm"

# worst case 3 tries of 2 + 8 s: the real client gives up after 30 s
_CONFIG: dict[str, Any] = {
    "connect_timeout": 2,
    "read_timeout": 8,
    "retries": {"total_max_attempts": 3, "mode": "standard"},
}

# at DEBUG botocore logs the bodies of requests, keys among them, and Lambda can set that level for a whole function
logging.getLogger("botocore").setLevel(logging.INFO)

AwsError = (ClientError, BotoCoreError)

_lock = threading.RLock()
_clients: dict[tuple[str, ...], Any] = {}


def client(service: str) -> Any:
    """Give the process's client of a service.

    Parameters
    ----------
    service : str
        :data:`STEP_FUNCTIONS`, :data:`S3`, :data:`LOGS` or :data:`PARAMETERS`.

    Notes
    -----
    A client belongs to the region and the endpoint that the environment names when it is asked for, so that an
    embedded AWS can take another's place within one process.
    """
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    place = (service, region, os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get("AWS_PROFILE", ""))
    found = _clients.get(place)
    if found is None:
        with _lock:
            found = _clients.get(place)
            if found is None:
                found = _clients[place] = _make(service, region)
    return found


def prepare(*services: str) -> None:
    """Make clients while Lambda starts the function, at full speed; elsewhere they wait until they are needed."""
    if os.environ.get("AWS_LAMBDA_FUNCTION_NAME"):
        for service in services:
            client(service)


def forget() -> None:
    """Drop all clients, as after a change of credentials."""
    with _lock:
        _clients.clear()
        _session.cache_clear()


def code_of(error: BaseException) -> str:
    """Give a service's name for an error, never its message, in which services repeat parameters."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or "Unknown")
    return type(error).__name__


@cache
def _session() -> botocore.session.Session:
    return service_data.session()


def _make(service: str, region: str) -> Any:
    session = _session()
    # version 4 signs addresses in every region and for as long as the contract allows
    config = Config(signature_version="s3v4", **_CONFIG) if service == S3 else Config(**_CONFIG)
    made = session.create_client(service, region_name=region, config=config)
    made.meta.events.register("before-call", _open_subsegment)
    made.meta.events.register("after-call", _close_subsegment)
    made.meta.events.register("after-call-error", _close_failed_subsegment)
    return made


def _open_subsegment(model: Any, context: dict[str, Any], **_: Any) -> None:
    subsegment = Subsegment(str(model.service_model.service_id), namespace="aws")
    subsegment.document["aws"] = {"operation": model.name}
    context["compose_runner_subsegment"] = subsegment


def _close_subsegment(
    context: dict[str, Any], http_response: Any = None, parsed: dict[str, Any] | None = None, **_: Any
) -> None:
    subsegment = context.pop("compose_runner_subsegment", None)
    if subsegment is None:
        return
    status = getattr(http_response, "status_code", None)
    if status is not None:
        subsegment.document["http"] = {"response": {"status": status}}
        subsegment.document["fault" if status >= 500 else "error"] = status >= 400
    request_id = (parsed or {}).get("ResponseMetadata", {}).get("RequestId")
    if request_id:
        subsegment.document["aws"]["request_id"] = request_id
    subsegment.close()


def _close_failed_subsegment(context: dict[str, Any], exception: BaseException | None = None, **_: Any) -> None:
    subsegment = context.pop("compose_runner_subsegment", None)
    if subsegment is not None:
        if exception is not None:
            subsegment.add_exception(exception, [], remote=True)
        subsegment.close()
