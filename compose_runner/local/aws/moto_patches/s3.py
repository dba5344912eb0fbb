"""Objects of S3: in memory while they are asked for, kept by the host."""

from __future__ import annotations

from typing import Any

from moto.s3.exceptions import S3ClientError
from moto.s3.models import S3Backend

from compose_runner.local.aws.moto_patches.host import host
from compose_runner.local.aws.moto_patches.patch import Kind, Patch
from compose_runner.local.state.faults import StorageError

_original_put_object = S3Backend.put_object
_original_delete_object = S3Backend.delete_object
_original_get_object = S3Backend.get_object
_original_list_objects = S3Backend.list_objects


def put_object_in_memory(backend: Any, bucket: str, name: str, content: bytes) -> Any:
    """Put an object into memory without handing it to the store."""
    return _original_put_object(backend, bucket, name, content)


class NoRoomError(S3ClientError):  # type: ignore[misc]
    """An object cannot be kept: a client error, so that nobody tries at once again."""

    def __init__(self, reason: str) -> None:
        super().__init__("DiskFull", reason)


def _put_object(self: Any, bucket_name: str, key_name: str, *arguments: Any, **named: Any) -> Any:
    host().store.want_objects(bucket_name, key_name)
    key = _original_put_object(self, bucket_name, key_name, *arguments, **named)
    try:
        host().store.keep_object(key)
    except StorageError as error:
        raise NoRoomError(str(error)) from None
    return key


def _get_object(self: Any, bucket_name: str, key_name: str, *arguments: Any, **named: Any) -> Any:
    host().store.want_objects(bucket_name, key_name)
    return _original_get_object(self, bucket_name, key_name, *arguments, **named)


def _list_objects(self: Any, bucket: Any, prefix: str | None, *arguments: Any, **named: Any) -> Any:
    host().store.want_objects(bucket.name, prefix)
    return _original_list_objects(self, bucket, prefix, *arguments, **named)


def _delete_object(self: Any, bucket_name: str, key_name: str, *arguments: Any, **named: Any) -> Any:
    answer = _original_delete_object(self, bucket_name, key_name, *arguments, **named)
    host().store.forget_object(bucket_name, key_name)
    return answer


PATCHES = (
    Patch(
        "objects as files",
        Kind.OURS,
        "moto/s3/models.py",
        "Objects live in memory and are gone when the process ends; the host keeps them as files.",
        S3Backend,
        {"put_object": _put_object, "delete_object": _delete_object},
    ),
    Patch(
        "objects when they are wanted",
        Kind.OURS,
        "moto/s3/models.py",
        "Every object is in memory for ever; the host has them there while they are asked for.",
        S3Backend,
        {"get_object": _get_object, "list_objects": _list_objects},
    ),
)
