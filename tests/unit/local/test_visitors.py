"""By which names a port is known: its own, that of a proxy in front of it, and no other."""

from __future__ import annotations

from email.message import Message

import pytest

from compose_runner.local.visitors import RefusedError, Visitors

VISITORS = Visitors("127.0.0.1", 8644, names=("Lab.example:8643",))


def headers(**fields: str) -> Message:
    message = Message()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


@pytest.mark.parametrize("host", ["127.0.0.1:8644", "localhost:8644", "lab.example:8643", "LAB.example:8643"])
def test_a_proxys_name_is_let_in_beside_the_ports_own(host: str) -> None:
    VISITORS.check(headers(host=host))


@pytest.mark.parametrize(
    "host", ["lab.example", "lab.example:8644", "evil.example:8643", "lab.example:8643.evil.example"]
)
def test_no_other_name_is(host: str) -> None:
    with pytest.raises(RefusedError):
        VISITORS.check(headers(host=host))


def test_a_proxys_name_changes_nothing_of_other_sites_pages() -> None:
    for field in (
        {"origin": "https://evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"referer": "https://evil.example/"},
    ):
        with pytest.raises(RefusedError):
            VISITORS.check(headers(host="lab.example:8643", **field))
