"""AWS clients of boto3: made once per process when they are first needed, with time-outs and retries."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client
    from types_boto3_ssm import SSMClient
    from types_boto3_stepfunctions import SFNClient

ServiceName = Literal["stepfunctions", "s3", "logs", "ssm"]

# worst case 3 tries of 2 + 8 s: the real client gives up after 30 s
_CONFIG = Config(connect_timeout=2, read_timeout=8, retries={"total_max_attempts": 3, "mode": "standard"})

# at DEBUG botocore logs the bodies of requests, keys among them, and Lambda can set that level for a whole function
logging.getLogger("botocore").setLevel(logging.INFO)

# the last two where a connection breaks while an answer is read
AwsError = (ClientError, BotoCoreError, HTTPError, OSError)

_lock = threading.RLock()
_clients: dict[tuple[str, ...], Any] = {}
_sessions: dict[tuple[str, ...], boto3.session.Session] = {}


@overload
def client(service: Literal["stepfunctions"]) -> SFNClient: ...
@overload
def client(service: Literal["s3"], endpoint: str | None = None) -> S3Client: ...
@overload
def client(service: Literal["logs"]) -> CloudWatchLogsClient: ...
@overload
def client(service: Literal["ssm"]) -> SSMClient: ...
def client(service: ServiceName, endpoint: str | None = None) -> Any:
    """Give the process's client of a service.

    Parameters
    ----------
    service : str
        boto3's name of the service.
    endpoint : str, optional
        Another address than the environment's.

    Notes
    -----
    A client belongs to the region and the endpoint that the environment names when it is asked for, so that an
    embedded AWS can take another's place within one process.
    """
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    environment = (region, os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get("AWS_PROFILE", ""))
    key = (service, endpoint or "", *environment)
    # boto3's sessions are not thread-safe, its clients are
    # (https://boto3.amazonaws.com/v1/documentation/api/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients)
    with _lock:
        if key not in _clients:
            # clients share what a session reads once: the list of regions' endpoints alone has 1.2 MB
            if environment not in _sessions:
                _sessions[environment] = boto3.session.Session(region_name=region)
            _clients[key] = _make(_sessions[environment], service, endpoint)
        return _clients[key]


def prepare(*services: ServiceName) -> None:
    """Make clients while Lambda starts the function, at full speed; elsewhere they wait until they are needed."""
    if os.environ.get("AWS_LAMBDA_FUNCTION_NAME"):
        for service in services:
            client(service)


def forget() -> None:
    """Drop all clients, as after a change of credentials."""
    with _lock:
        _clients.clear()
        _sessions.clear()


def read_error_code(error: BaseException) -> str:
    """Give a service's name for an error, never its message, in which services repeat parameters."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or "Unknown")
    return type(error).__name__


def _make(session: boto3.session.Session, service: ServiceName, endpoint: str | None) -> Any:
    # version 4 signs addresses in every region and for as long as the contract allows
    config = _CONFIG.merge(Config(signature_version="s3v4")) if service == "s3" else _CONFIG
    return session.client(service, endpoint_url=endpoint, config=config)
