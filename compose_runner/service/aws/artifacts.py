"""A job's artifacts in S3."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compose_runner.service.aws import clients
from compose_runner.service.errors import AwsServiceError
from compose_runner.service.observability import tracing
from compose_runner.service.ports import StoredArtifact

if TYPE_CHECKING:
    from collections.abc import Iterator

# S3 refuses instead of saying that an object is missing where the bucket's owner lets nobody list it
_MISSING = frozenset({"NoSuchKey", "404", "AccessDenied", "403"})


@dataclass(frozen=True, slots=True)
class S3Artifacts:
    """Reads one bucket.

    Parameters
    ----------
    bucket : str
        Its name.
    public_endpoint : str or None
        Where clients reach it by the addresses that :meth:`address` signs; S3's own address by default.
    """

    bucket: str
    public_endpoint: str | None = None

    @tracing.in_subsegment("S3 GetObject", namespace="aws")
    def document(self, key: str) -> dict[str, Any] | None:
        """Read a JSON object; see :class:`compose_runner.service.ports.Artifacts`."""
        try:
            data = clients.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except clients.AwsError as error:
            code = clients.read_error_code(error)
            if code in _MISSING:
                return None
            raise AwsServiceError("An object of the job cannot be read", code) from None
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            raise AwsServiceError("An object of the job cannot be read", "it is not JSON") from None
        return document if isinstance(document, dict) else None

    def below(self, folder: str) -> Iterator[StoredArtifact]:
        """List every object below a folder, page after page; see :class:`compose_runner.service.ports.Artifacts`."""
        pages = clients.client("s3").get_paginator("list_objects_v2")
        try:
            # the slash keeps jobs out whose names begin alike
            for page in pages.paginate(Bucket=self.bucket, Prefix=f"{folder}/"):
                for item in page.get("Contents", ()):
                    yield StoredArtifact(key=item["Key"], size=item["Size"], last_modified=item["LastModified"])
        except clients.AwsError as error:
            raise AwsServiceError("The job's artifacts cannot be listed", clients.read_error_code(error)) from None

    def address(self, key: str, expires_in: int) -> str:
        """Sign an address; see :class:`compose_runner.service.ports.Artifacts`."""
        try:
            return str(
                clients.client("s3", self.public_endpoint).generate_presigned_url(
                    "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=expires_in
                )
            )
        except clients.AwsError as error:
            raise AwsServiceError("An artifact's address cannot be signed", clients.read_error_code(error)) from None
