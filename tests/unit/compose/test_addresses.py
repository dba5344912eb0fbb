"""Which addresses are public, and which a document may name at all."""

from __future__ import annotations

import pytest

from compose_runner.compose.addresses import (
    ALLOWED_HOSTS_VARIABLE,
    AddressRefusedError,
    AllowedHosts,
    allowed_hosts,
    check_address,
    extract_host,
    is_public,
)

NOBODY = AllowedHosts()


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "140.82.121.3", "2606:4700:4700::1111", "2a00:1450:4001::8a"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "::1"),
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd00:ec2::254", "fec0::1"),
        *("169.254.169.254", "169.254.170.2", "fe80::1", "fe80::1%eth0", "168.63.129.16", "192.0.0.192"),
        *("100.64.0.1", "100.100.100.200", "100.127.255.255"),
        *("224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"),
        *("0.0.0.0", "0.1.2.3", "::", "255.255.255.255", "240.0.0.1"),
        *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "192.88.99.1"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0:127.0.0.1"),
        *("2002:7f00:1::", "2002:808:808::1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1"),
        *("2001:0:7f00:1::", "100::1", "localhost", "", "127.1", "0x7f000001", "2130706433", "1.1.1.1%eth0"),
    ],
)
def test_every_other_address_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "file:///etc/passwd",
            "ftp://neurovault.org/z.nii.gz",
            "gopher://neurovault.org/",
            "/etc/passwd",
            "",
            "z.nii",
        ),
        *(
            "https://user@neurovault.org/z.nii.gz",
            "https://user:key@neurovault.org/z.nii.gz",
        ),
        *("https://neurovault.org:22/", "http://neurovault.org:8080/", "http://neurovault.org:0/", "http://[broken/"),
        *(
            "http://neurovault.org:99999/",
            "http:///z.nii.gz",
            "http://neurovault.org:80@127.0.0.1/",
            "//neurovault.org/z",
        ),
    ],
)
def test_an_address_that_no_map_has_is_refused_by_its_text(address: str) -> None:
    with pytest.raises(AddressRefusedError):
        check_address(address, NOBODY)


@pytest.mark.parametrize(
    "address", ["https://neurovault.org/z.nii.gz", "http://neurovault.org:443/", "HTTP://X.org:80"]
)
def test_an_address_of_another_host_has_yet_to_be_resolved(address: str) -> None:
    assert check_address(address, NOBODY) is False


def test_an_operators_host_may_be_anywhere_on_the_port_that_was_named() -> None:
    named = AllowedHosts.named(["127.0.0.1:9412", "Images.Lab.", "[::1]:8000"])
    assert check_address("http://127.0.0.1:9412/z.nii", named)
    assert check_address("https://images.lab/z.nii", named)
    assert check_address("http://[::1]:8000/z.nii", named)
    assert not check_address("http://127.0.0.1/z.nii", named)
    with pytest.raises(AddressRefusedError):
        check_address("http://127.0.0.1:9413/z.nii", named)
    with pytest.raises(AddressRefusedError):
        check_address("http://user@127.0.0.1:9412/z.nii", named)


@pytest.mark.parametrize(
    "text", ["", "http://127.0.0.1", "a b", "host:port", "host:0", "host:70000", "a/b", "u@host", "::1"]
)
def test_what_is_no_host_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no host") as raised:
        AllowedHosts.named([text])
    assert repr(text) in str(raised.value)


def test_hosts_are_told_or_stand_in_the_environment() -> None:
    variables = {ALLOWED_HOSTS_VARIABLE: "127.0.0.1:1, lab:2,"}
    assert allowed_hosts(["x:3"], variables).endpoints == {("127.0.0.1", 1), ("lab", 2), ("x", 3)}
    assert allowed_hosts(variables={}) == NOBODY
    assert AllowedHosts.of("http://localhost:81/api", "https://X.org/api", "no address").endpoints == {
        ("localhost", 81),
        ("x.org", 443),
    }


def test_a_host_is_named_without_what_stands_around_it() -> None:
    assert extract_host("https://user:key@neurovault.org:443/z.nii.gz?token=1") == "neurovault.org"
    assert extract_host("nothing") == "?"
