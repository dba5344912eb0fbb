"""One execution environment of a function: a process that imports the deployed handler and serves one event at a time.

It stands for Lambda's runtime, with a socket instead of the runtime API. Standard output stays the handler's own, for
its logs. It is started by :mod:`compose_runner.local.functions.pool`::

    python -m compose_runner.local.functions.worker FILE_DESCRIPTOR CODE_FOLDER MODULE.HANDLER
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
import traceback
from dataclasses import dataclass
from importlib import import_module
from typing import Any

_LENGTH = struct.Struct("!I")


def send(connection: socket.socket, document: Any) -> None:
    """Send one JSON document."""
    data = json.dumps(document).encode()
    connection.sendall(_LENGTH.pack(len(data)) + data)


def receive(connection: socket.socket) -> Any:
    """Receive one JSON document.

    Raises
    ------
    EOFError
        The other end is gone.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    return json.loads(_exactly(connection, length))


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError("the connection was closed")
        data += part
    return bytes(data)


@dataclass(frozen=True)
class LambdaContext:
    """What Lambda tells a handler about its invocation; the names are Lambda's."""

    aws_request_id: str
    deadline: float
    function_name: str
    function_version: str = "$LATEST"
    memory_limit_in_mb: str = "512"
    log_group_name: str = ""
    log_stream_name: str = "embedded"
    identity: Any = None
    client_context: Any = None

    @property
    def invoked_function_arn(self) -> str:
        """ARN in the embedded account."""
        return f"arn:aws:lambda:{os.environ.get('AWS_REGION')}:123456789012:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the time-out."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


def _context(request: dict[str, Any]) -> LambdaContext:
    return LambdaContext(
        aws_request_id=request["request_id"],
        deadline=time.monotonic() + request["seconds"],
        function_name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""),
        memory_limit_in_mb=os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        log_group_name=os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
    )


def serve(connection: socket.socket, code_folder: str, handler_name: str) -> None:
    """Import the handler, then answer events until the other end is gone.

    Parameters
    ----------
    connection : socket
        To the service.
    code_folder : str
        The function's ``CodeUri``; goes first on the import path, as Lambda's task root does.
    handler_name : str
        The function's ``Handler``, such as ``app.handler``.
    """
    sys.path.insert(0, code_folder)
    module, _, name = handler_name.rpartition(".")
    try:
        handler = getattr(import_module(module.replace("/", ".")), name)
    except Exception as error:
        send(connection, {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()})
        return
    send(connection, {"ready": True})
    while True:
        try:
            request = receive(connection)
        except (EOFError, OSError):
            return
        try:
            answer = {"result": handler(request["event"], _context(request))}
            data = json.dumps(answer)
        except Exception as error:
            traceback.print_exc()
            data = json.dumps({"error": f"{type(error).__name__}: {error}"})
        sys.stdout.flush()
        encoded = data.encode()
        connection.sendall(_LENGTH.pack(len(encoded)) + encoded)


def main() -> None:
    """Serve on the socket that the parent left open."""
    descriptor, code_folder, handler_name = sys.argv[1:4]
    with socket.socket(fileno=int(descriptor)) as connection:
        serve(connection, code_folder, handler_name)


if __name__ == "__main__":
    main()
