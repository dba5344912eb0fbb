"""What a document may make this machine open: nothing but public addresses, unless it came from a disk."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from compose_runner.compose.addresses import AllowedHosts

if TYPE_CHECKING:
    from pathlib import Path

_LOCAL_HOSTS = frozenset({"", "localhost"})
_OTHER_MACHINE = re.compile(r"\s*[/\\]{2}")


class OutOfReachError(ValueError):
    """A document names a file that it may not; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What the locations in a document may lead to, besides the public internet.

    Parameters
    ----------
    folder : Path or None
        The folder of a bundle from a disk: files in it and below it may be read. None for what came over the network,
        for which no file is looked at, not even whether it exists.
    hosts : AllowedHosts
        Hosts that may be anywhere, for a bundle from a disk.
    """

    folder: Path | None = None
    hosts: AllowedHosts = field(default_factory=AllowedHosts)

    def local_file(self, location: str) -> Path | None:
        """Find the file that a location names.

        Parameters
        ----------
        location : str
            A path, absolute or from the bundle's folder, or an address of the scheme ``file``.

        Returns
        -------
        Path or None
            None when it names an address of another kind, or no file.

        Raises
        ------
        OutOfReachError
            The file is not in the bundle's folder, symbolic links resolved, or there is no such folder.
        """
        path = path_in_location(location)
        if path is None:
            return None
        if self.folder is None:
            raise OutOfReachError("it names a file, and files are read for a bundle from a disk only")
        try:
            folder = self.folder.resolve()
            found = (folder / path).resolve()
            if not found.is_relative_to(folder):
                raise OutOfReachError("it names a file outside the folder of the bundle, and only those in it are read")
            return found if found.is_file() else None
        except (OSError, RuntimeError, UnicodeError):  # no path of this system, or links in a circle
            return None


def path_in_location(location: str) -> str | None:
    """The path that a location names on this machine; None when it is an address of something else."""
    try:
        parts = urlsplit(location)
        scheme, host = parts.scheme, parts.hostname or ""
    except ValueError:
        return None
    if scheme == "file":
        path = unquote(parts.path) if host in _LOCAL_HOSTS else None
    else:
        # one letter is a drive of Windows
        path = location if len(scheme) <= 1 else None
    # two slashes of either kind: Windows would ask another machine for the file, and tell it who asks
    if path is None or "\0" in path or _OTHER_MACHINE.match(path):
        return None
    return path
