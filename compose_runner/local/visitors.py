"""Who may ask a port of the embedded service.

A page of another site must neither start anything nor read anything. Three headers tell, which a page cannot change:

* ``Host``: a name that an attacker lets point to 127.0.0.1 (DNS rebinding) is none of the service's own names;
* ``Origin``, and in its place ``Referer``: which page asks;
* ``Sec-Fetch-Site``: whether the page is the service's own, even where there is no ``Origin``.
"""

from __future__ import annotations

import email.errors
import ipaddress
import socket
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

LOOPBACK = "127.0.0.1"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - is compared with what was asked for
_BROKEN = (
    email.errors.FirstHeaderLineIsContinuationDefect,
    email.errors.MissingHeaderBodySeparatorDefect,
    email.errors.MisplacedEnvelopeHeaderDefect,
)


class RefusedError(Exception):
    """A request that is not served.

    Parameters
    ----------
    status : HTTPStatus
        What the answer says.
    reason : str
        The same for a person.
    headers : mapping, optional
        Further headers of the answer.
    """

    def __init__(self, status: HTTPStatus, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = dict(headers or {})


def has_broken_header(headers: Message) -> bool:
    """Whether a line among the headers is none, so that those behind it were not read."""
    # a body of several parts, which is read later, is a defect to this parser of mails as well
    return any(isinstance(defect, _BROKEN) for defect in headers.defects)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone; a name other than ``localhost`` counts as not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_address(host: str) -> str:
    """Write a host as it stands in an address: IPv6 in brackets, the machine's name for all of its interfaces."""
    if host in _ANY_ADDRESS:
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Visitors:
    """Who may ask.

    Parameters
    ----------
    host : str
        Where the port listens.
    port : int
        The port.
    origins : tuple of str
        Origins of other sites whose pages may ask as well; ``*`` for all.
    follow_links : bool
        Whether a person may come by a link on another site's page; the page itself never sees the answer.
    names : tuple of str
        Further names that the port is known by, as they stand in ``Host``: that of a proxy in front of it.
    """

    host: str
    port: int
    origins: tuple[str, ...] = ()
    follow_links: bool = False
    names: tuple[str, ...] = ()
    _names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        names = {f"{name}:{self.port}" for name in (*_LOOPBACK_NAMES, in_address(self.host).lower())}
        object.__setattr__(self, "_names", frozenset((*names, *(name.lower() for name in self.names))))

    def check(self, headers: Message) -> None:
        """Refuse what a page of another site can send.

        Raises
        ------
        RefusedError
            ``Host``, ``Origin``, ``Referer`` or ``Sec-Fetch-Site`` is foreign.
        """
        hosts = headers.get_all("host") or []
        if len(hosts) != 1 or not self._is_own(hosts[0].strip().lower()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "Host: the service does not have this name")
        own = f"http://{hosts[0].strip().lower()}"
        origins = [origin.strip() for origin in headers.get_all("origin") or []]
        if origins:
            if self.allows(origins):
                return
            if [origin.lower() for origin in origins] != [own]:
                raise RefusedError(HTTPStatus.FORBIDDEN, "Origin: pages of this site may not ask")
        if self.follow_links and _is_link(headers):
            return
        if not {site.strip().lower() for site in headers.get_all("sec-fetch-site") or []} <= {"same-origin", "none"}:
            raise RefusedError(HTTPStatus.FORBIDDEN, "Sec-Fetch-Site: pages of other sites may not ask")
        # with a form, browsers of old send neither of the two
        if not origins and any(not f"{one.lower()}/".startswith(f"{own}/") for one in headers.get_all("referer") or []):
            raise RefusedError(HTTPStatus.FORBIDDEN, "Referer: pages of other sites may not ask")

    def allows(self, origins: list[str]) -> bool:
        """Whether the operator named the origin of a request."""
        return len(origins) == 1 and ("*" in self.origins or origins[0].strip().rstrip("/") in self.origins)

    def _is_own(self, host: str) -> bool:
        if host in self._names or (self.port == 80 and f"{host}:80" in self._names):
            return True
        if self.host not in _ANY_ADDRESS:
            return False
        # an address in numbers is no name that could be made to point here
        try:
            parts = urlsplit(f"http://{host}")
            ipaddress.ip_address(parts.hostname or "")
            return (parts.port or 80) == self.port
        except ValueError:
            return False


def _is_link(headers: Message) -> bool:
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
