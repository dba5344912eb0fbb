"""Which network addresses may be asked: those that an operator named, and public ones for everything else.

A document of a stranger can name any address. Nothing on the machine itself or in the network around it is asked
because of one: the check is made on the addresses to which a host's name resolves (see
:mod:`compose_runner.compose.connections`), since the name alone tells nothing.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

ALLOWED_HOSTS_VARIABLE = "COMPOSE_RUNNER_ALLOWED_HOSTS"
# what a public service of maps listens on; other ports of a public host belong to other services
PUBLIC_PORTS = frozenset({80, 443})
_DEFAULT_PORTS = {"http": 80, "https": 443}

# IPv6 ranges that carry an IPv4 address or that ipaddress counts as global although they lead inside: IPv4-compatible,
# IPv4-mapped and translated, NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380), 6to4 (RFC 3056), documentation
# (RFC 9637), site-local (RFC 3879)
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "3fff::/20",
        "fec0::/10",
    )
)
# relays of 6to4 (RFC 7526), and the address at which Azure's machines find their settings
_NOT_PUBLIC_V4 = tuple(ipaddress.IPv4Network(network) for network in ("192.88.99.0/24", "168.63.129.16/32"))
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/:@\[\]?#]+)(?::(?P<port>\d{1,5}))?")


class AddressRefusedError(urllib3.exceptions.HTTPError):
    """An address may not be asked; nothing was sent to it."""


class RedirectLimitError(AddressRefusedError):
    """An address leads to another one, and so on, or back to itself."""


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet.

    Loopback, private, shared (RFC 6598), link-local, multicast, unspecified, reserved and documentation addresses do
    not (the registries of RFC 6890, as :mod:`ipaddress` has them), nor do IPv6 addresses that carry an IPv4 address,
    whichever that is.

    Parameters
    ----------
    address : str
        An IPv4 or IPv6 address; with a scope it counts as link-local.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if ip.is_multicast or ip.is_reserved or ip.is_unspecified or not ip.is_global:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        return ip.scope_id is None and not any(ip in network for network in _NOT_PUBLIC_V6)
    return not any(ip in network for network in _NOT_PUBLIC_V4)


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Hosts that may be anywhere, because the operator named them.

    Parameters
    ----------
    endpoints : frozenset of (str, int)
        Host (in lower case, without brackets) and port.
    """

    endpoints: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def named(cls, texts: Iterable[str]) -> Self:
        """Read ``HOST`` (ports 80 and 443) or ``HOST:PORT``; an IPv6 address stands in brackets.

        Raises
        ------
        ValueError
            With the text that names no host.
        """
        endpoints = set()
        for text in texts:
            found = _HOST_AND_PORT.fullmatch(text.strip())
            port = int(found["port"]) if found and found["port"] else None
            if found is None or not (port is None or 0 < port < 1 << 16):
                raise ValueError(f"{text!r} is no host: HOST or HOST:PORT is expected, such as 127.0.0.1:9412")
            endpoints |= {(_plain(found["host"]), one) for one in (PUBLIC_PORTS if port is None else (port,))}
        return cls(frozenset(endpoints))

    @classmethod
    def of(cls, *addresses: str) -> Self:
        """The hosts of addresses that an operator configured."""
        return cls(
            frozenset(endpoint for address in addresses if (endpoint := _endpoint(_parsed(address))) is not None)
        )

    def hold(self, address: str) -> bool:
        """Whether an address is at one of these hosts."""
        return _endpoint(_parsed(address)) in self.endpoints


def allowed_hosts(hosts: Iterable[str] = (), variables: Mapping[str, str] | None = None) -> AllowedHosts:
    """Hosts that the maps of a bundle from a disk may come from, wherever they are.

    Parameters
    ----------
    hosts : iterable of str
        As :meth:`AllowedHosts.named` reads them.
    variables : mapping, optional
        Where ``COMPOSE_RUNNER_ALLOWED_HOSTS`` is looked up, which names further ones, separated by commas; the
        process's environment by default.
    """
    variables = os.environ if variables is None else variables
    configured = (text for text in variables.get(ALLOWED_HOSTS_VARIABLE, "").split(",") if text.strip())
    return AllowedHosts.named([*hosts, *configured])


def check_address(address: str, allowed: AllowedHosts) -> bool:
    """Check an address before anything is asked, as far as its text tells.

    Parameters
    ----------
    address : str
        The address.
    allowed : AllowedHosts
        Hosts that may be anywhere.

    Returns
    -------
    bool
        Whether its host is one of ``allowed``; what any other host's name resolves to has yet to be checked.

    Raises
    ------
    AddressRefusedError
        It is not HTTP, has a user's name or password in it, or a port that is not :data:`PUBLIC_PORTS`.
    """
    url = _parsed(address)
    endpoint = _endpoint(url)
    if url is None or endpoint is None:
        raise AddressRefusedError("it is not an address of HTTP")
    if url.auth is not None:
        raise AddressRefusedError("it has a user's name in it")
    if endpoint in allowed.endpoints:
        return True
    if endpoint[1] not in PUBLIC_PORTS:
        raise AddressRefusedError(f"its port is {endpoint[1]}")
    return False


def extract_host(address: str) -> str:
    """Host in an address, for texts; ``"?"`` where there is none."""
    endpoint = _endpoint(_parsed(address))
    return "?" if endpoint is None else endpoint[0]


def _parsed(address: str) -> urllib3.util.Url | None:
    """Read an address as urllib3 reads it, so that what is checked is what is asked."""
    try:
        return urllib3.util.parse_url(address)
    except (urllib3.exceptions.LocationParseError, ValueError):
        return None


def _endpoint(url: urllib3.util.Url | None) -> tuple[str, int] | None:
    if url is None or url.scheme not in _DEFAULT_PORTS or not url.host:
        return None
    return _plain(url.host), url.port if url.port is not None else _DEFAULT_PORTS[url.scheme]


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
