"""Hosts that a document names: none inside is asked, none can hold a run or fill a disk, none tells what is there."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from compose_runner.analysis.fetch.downloads import download
from compose_runner.analysis.fetch.reach import Reach
from compose_runner.analysis.select import map_files, nifti
from compose_runner.analysis.select.images import stage_images
from compose_runner.compose import connections, http_client
from compose_runner.compose.addresses import AddressRefusedError, AllowedHosts
from compose_runner.compose.connections import Deadline, TimeLimitError
from compose_runner.errors import DocumentMalformedError, DocumentMissingError, ServiceUnavailableError
from tests.support import synthetic
from tests.support.hostile_host import OK, HostileHost, answer, forever, once

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = AllowedHosts()
SHORT = http_client.Limits(n_bytes=1 << 20, seconds=0.6)
LONG = http_client.Limits(n_bytes=1 << 20, seconds=20.0)


def allowing(*hosts: HostileHost) -> AllowedHosts:
    return AllowedHosts.of(*(host.address for host in hosts))


def fetch(
    address: str, tmp_path: Path, allowed: AllowedHosts, limits: http_client.Limits = LONG, attempts: int = 0
) -> None:
    download(address, "map m", tmp_path / "m", limits=limits, allowed=allowed, attempts=attempts)


def studyset_with(address: str) -> dict[str, Any]:
    document = synthetic.random_studyset(n_studies=1, analyses_per_study=1)
    image = {"id": "i", "url": address, "filename": None, "value_type": "Z map"}
    document["studies"][0]["analyses"][0]["images"] = [image]
    return document


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "0x7f000001", "2130706433", "[::1]"])
def test_no_spelling_of_this_machine_is_asked(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileHost(once(answer(200, b"secret"))) as host:
        monkeypatch.setattr("compose_runner.compose.addresses.PUBLIC_PORTS", frozenset({host.port}))
        with pytest.raises(DocumentMissingError, match="may not be asked"):
            fetch(f"http://{name}:{host.port}/z.nii.gz", tmp_path, NOBODY)
        assert host.connections == 0


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to these addresses, one answer after the other; gives the names that were asked."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if "example" not in str(host):
            return real(host, port, *args, **kwargs)
        asked.append(str(host))
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.215.14", "10.0.0.1"], ["169.254.169.254"]])
def test_a_name_that_leads_inside_is_refused_wherever_else_it_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    resolving(monkeypatch, addresses)
    monkeypatch.setattr(urllib3.util.connection, "create_connection", lambda *_a, **_k: pytest.fail("it was asked"))
    with pytest.raises(DocumentMissingError, match="may not be asked"):
        fetch("http://rebinding.example/z.nii.gz", tmp_path, NOBODY)


def test_what_was_checked_is_what_is_connected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolving(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    connected: list[str] = []

    def create_connection(address: tuple[str, int], *_args: Any, **_kwargs: Any) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(urllib3.util.connection, "create_connection", create_connection)
    with pytest.raises(ServiceUnavailableError):
        fetch("https://rebinding.example/z.nii.gz", tmp_path, NOBODY)
    assert asked == ["rebinding.example"]
    assert connected == ["93.184.215.14"]


def test_certificates_and_hosts_stay_those_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The TLS handshake begins with the host's name, though the connection was made to an address."""
    resolving(monkeypatch, ["93.184.215.14"])
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(urllib3.util.connection, "create_connection", lambda *_args, **_kwargs: ours)
    theirs.settimeout(5)
    ours.settimeout(0.2)
    connection = connections.PublicHTTPSPool("names.example", 443, timeout=0.2)
    with pytest.raises(urllib3.exceptions.HTTPError):
        connection.request("GET", "/z.nii.gz", retries=False)
    assert b"names.example" in theirs.recv(4096)
    connection.close()
    theirs.close()


def test_a_redirect_leads_to_public_hosts_or_back(tmp_path: Path) -> None:
    with (
        HostileHost(once(answer(200, b"secret"))) as inside,
        HostileHost(once(answer(302, Location=inside.address))) as host,
    ):
        with pytest.raises(DocumentMissingError, match="may not be asked"):
            fetch(host.address, tmp_path, allowing(host))
        with pytest.raises(DocumentMissingError, match="may not be asked"):
            http_client.get_json(host.address, "meta-analysis m", attempts=0)
        assert len(host.requests) == 2
        assert inside.connections == 0


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://x.org/", "http://user:key@x.org/", "http://[x/", "http://x.org:25/"]
)
def test_a_redirect_leads_to_nothing_but_http(tmp_path: Path, location: str) -> None:
    with HostileHost(once(answer(302, Location=location))) as host:
        with pytest.raises(DocumentMissingError, match="may not be asked"):
            fetch(host.address, tmp_path, allowing(host))
        assert host.requests == [b"GET /z.nii.gz HTTP/1.1"]


def test_redirects_come_to_an_end(tmp_path: Path) -> None:
    with HostileHost(once(answer(302, Location="/z.nii.gz"))) as host:
        with pytest.raises(DocumentMissingError, match="redirects more than 5 times, or in a loop") as error:
            fetch(host.address, tmp_path, allowing(host))
        assert "may not be asked" not in str(error.value)
        assert len(host.requests) == http_client.MOST_REDIRECTS + 1
        with pytest.raises(DocumentMissingError, match="redirects more than 5 times, or in a loop"):
            http_client.get_json(host.address, "meta-analysis m", attempts=0)


def test_a_redirect_never_gives_up_encryption() -> None:
    with pytest.raises(AddressRefusedError, match="HTTPS"):
        http_client._redirected("https://x.org/z", "http://x.org/z")
    assert http_client._redirected("https://x.org/a", "/b") == "https://x.org/b"
    assert http_client._redirected("http://x.org/a", "https://y.org/b") == "https://y.org/b"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: ",
        OK + b"\r\n",
        OK + b"Content-Length: 999999\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    ],
)
def test_an_answer_by_drops_ends_with_its_time_wherever_it_is(tmp_path: Path, head: bytes) -> None:
    with HostileHost(forever(head, b"x"), pause=0.02) as host:
        started = time.monotonic()
        with pytest.raises(ServiceUnavailableError, match="too long altogether"):
            fetch(host.address, tmp_path, allowing(host), SHORT, attempts=5)
        assert time.monotonic() - started < 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"])
def test_announcements_without_an_end_end_with_the_time(tmp_path: Path, piece: bytes) -> None:
    with HostileHost(forever(b"", piece), pause=0.02) as host:
        started = time.monotonic()
        with pytest.raises((ServiceUnavailableError, DocumentMissingError)):
            fetch(host.address, tmp_path, allowing(host), SHORT, attempts=5)
        assert time.monotonic() - started < 5
    assert list(tmp_path.iterdir()) == []


def test_a_handshake_by_drops_ends_with_its_time(tmp_path: Path) -> None:
    # a record of 16,000 bytes that never comes to its end
    with (
        HostileHost(forever(b"\x16\x03\x03\x3e\x80", b"\x02"), pause=0.02) as host,
        Deadline(0.6),
        pytest.raises((TimeLimitError, urllib3.exceptions.HTTPError)),
    ):
        http_client.pool().request("GET", f"https://127.0.0.1:{host.port}/", retries=http_client.retries(0))


@pytest.mark.parametrize(
    "head",
    [OK + b"Connection: close\r\n\r\n", OK + b"Content-Length: 9999999999\r\n\r\n"],
    ids=["endless", "announced"],
)
def test_a_file_has_a_largest_size(tmp_path: Path, head: bytes) -> None:
    with (
        HostileHost(forever(head, bytes(1 << 16))) as host,
        pytest.raises(DocumentMalformedError, match="more than 1,048,576 bytes"),
    ):
        fetch(host.address, tmp_path, allowing(host))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "asked",
    [
        "100000",
        "9" * 5000,
        "1e9",
        "inf",
        "-100000",
        "\u0665" * 9,
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 +9999",
        "never",
        "",
    ],
)
def test_a_service_cannot_ask_for_a_long_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with HostileHost(once(answer(503, Retry_After=asked))) as host:
        with pytest.raises(ServiceUnavailableError, match="503"):
            fetch(host.address, tmp_path, allowing(host), http_client.Limits(1000, 100.0), attempts=2)
        assert len(host.requests) == 3
    assert all(0 <= wait <= http_client.LONGEST_WAIT_SECONDS for wait in waits)


def test_waiting_ends_with_the_time_of_the_file(tmp_path: Path) -> None:
    with HostileHost(once(answer(503, Retry_After="30"))) as host:
        started = time.monotonic()
        with pytest.raises(ServiceUnavailableError):
            fetch(host.address, tmp_path, allowing(host), SHORT, attempts=3)
        assert time.monotonic() - started < 5


def test_a_document_has_a_largest_size_as_it_unfolds() -> None:
    bomb = gzip.compress(b"[" + b" " * (64 << 20))
    with (
        HostileHost(once(answer(200, bomb, Content_Encoding="gzip"))) as host,
        pytest.raises(DocumentMalformedError, match="more than 1048576 bytes"),
    ):
        http_client.get_json(host.address, "studyset s", attempts=0, limits=LONG)
    with HostileHost(
        once(answer(200, gzip.compress(json.dumps({"id": "s"}).encode()), Content_Encoding="gzip"))
    ) as host:
        assert http_client.get_json(host.address, "studyset s", attempts=0) == {"id": "s"}


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "deflate", "compress", "GZIP,identity", "x" * 60_000])
def test_an_encoding_that_was_not_asked_for_is_not_unfolded(encoding: str) -> None:
    bomb = zlib.compress(b"[" + b" " * (64 << 20))
    with (
        HostileHost(once(answer(200, bomb, Content_Encoding=encoding))) as host,
        pytest.raises(DocumentMalformedError, match="was not asked for"),
    ):
        http_client.get_json(host.address, "studyset s", attempts=0)


def test_refused_and_unanswered_hosts_are_told_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The author of a document learns nothing of the ports around the machine that reads it."""
    reasons = set()
    with HostileHost(once(answer(404))) as listening, HostileHost(once(answer(200))) as gone:
        pass
    with HostileHost(once(answer(404))) as listening:
        monkeypatch.setattr("compose_runner.compose.addresses.PUBLIC_PORTS", frozenset({listening.port, gone.port}))
        for host in (listening, gone):
            reasons.add(stage_images(studyset_with(host.address), tmp_path / "a", attempts=0).maps[0].reason)
        assert listening.connections == 0
    assert reasons == {"the map could not be fetched from 127.0.0.1"}
    monkeypatch.setattr(connections, "is_public", lambda _address: True)
    with HostileHost(once(answer(404))) as public:
        monkeypatch.setattr("compose_runner.compose.addresses.PUBLIC_PORTS", frozenset({public.port, gone.port}))
        (staged,) = stage_images(studyset_with(public.address), tmp_path / "b", attempts=0).maps
        assert staged.reason in reasons
    with pytest.raises(ServiceUnavailableError, match=r"the map could not be fetched from 127\.0\.0\.1 \(127"):
        stage_images(studyset_with(gone.address), tmp_path / "c", attempts=0)


def test_the_maps_of_a_job_have_a_largest_size_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_files, "MOST_BYTES_OF_ALL", 100_000)
    document = studyset_with("")
    with HostileHost(once(answer(200, bytes(60_000)))) as host:
        images = document["studies"][0]["analyses"][0]["images"]
        images[:] = [{**images[0], "id": f"i{n}", "url": f"{host.address}?{n}.nii"} for n in range(4)]
        reach = Reach(hosts=allowing(host))
        reasons = [one.reason for one in stage_images(document, tmp_path, reach=reach, threads=1, attempts=0).maps]
    assert "a page about it" in reasons[0]
    assert "the maps of one job may take 100,000 bytes" in reasons[1]


def bomb(shape: tuple[int, int, int], content: int, code: int = 16) -> bytes:
    """A compressed map whose header and content can differ."""
    header = nifti_header(shape, code)
    return gzip.compress(header + bytes(content), 1)


def nifti_header(shape: tuple[int, ...], code: int = 16) -> bytes:
    import nibabel
    import numpy as np

    header = nibabel.Nifti1Header()
    header["dim"][: len(shape) + 1] = [len(shape), *shape]
    header["datatype"], header["bitpix"] = code, np.dtype(header._data_type_codes.dtype[code]).itemsize * 8
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    header.set_sform(np.eye(4))
    return bytes(header.binaryblock) + bytes(4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: bomb((1290, 1290, 1290), 1000), r"2,146,689,000 voxels, and at most 33,554,432 are read"),
        (lambda: bomb((32767, 32767, 32767), 10, 64), "voxels, and at most"),
        (lambda: bomb((4, 4, 4), 8 << 20), "goes on behind the voxels that its header promises"),
        (lambda: bomb((4, 4, 4), 100), "cannot be read as NIfTI"),
        (lambda: bomb((4, 4, 4), 4000, 32), "not real numbers"),
        (lambda: bomb((4, 4, 4), 4000, 128), "not real numbers"),
        (lambda: bomb((4, 4, -4), 4000), "no voxels|cannot be read"),
        (lambda: bomb((4, 4, 4), 256), "no finite value"),
    ],
    ids=["bomb", "dimensions", "behind", "short", "complex", "colours", "negative", "zeros"],
)
def test_a_map_is_unpacked_no_further_than_its_header_promises(tmp_path: Path, content: Any, reason: str) -> None:
    path = tmp_path / "z.nii.gz"
    path.write_bytes(content())
    with pytest.raises(nifti.NoMapError, match=reason):
        nifti.check_map(path)


def stuffed(how: str) -> bytes:
    """A map of 64 voxels in a compressed file of some megabytes."""
    content = nifti_header((4, 4, 4)) + b"\0\0\x80\x3f" * 64
    whole = gzip.compress(content)
    packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packing.compress(content) + packing.flush()
    end = struct.pack("<II", zlib.crc32(content), len(content))
    empty, n_bytes = gzip.compress(b""), 4 << 20
    return {
        "as it should be": whole,
        "many parts": b"".join(gzip.compress(content[start : start + 8]) for start in range(0, len(content), 8)),
        "some zeros behind": whole + bytes(5000),
        "zeros behind": whole + bytes(n_bytes),
        "empty parts before": empty * (n_bytes // len(empty)) + whole,
        "empty parts behind": whole + empty * (n_bytes // len(empty)),
        "a long name": b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * n_bytes + b"\0" + packed + end,
        "empty blocks": b"\x1f\x8b\x08\0" + bytes(6) + b"\0\0\0\xff\xff" * (n_bytes // 5) + packed + end,
        "another checksum": whole[:-8] + bytes(8),
        "cut off": whole[:-3],
        "something behind": whole + b"x" * 100,
        "twice compressed": gzip.compress(whole),
    }[how]


@pytest.mark.parametrize("how", ["as it should be", "many parts", "some zeros behind"])
def test_every_compressed_file_of_a_map_is_read(tmp_path: Path, how: str) -> None:
    path = tmp_path / "z.nii.gz"
    path.write_bytes(stuffed(how))
    nifti.check_map(path)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("zeros behind", "hold nothing"),
        ("empty parts before", "more than 20,000 parts"),
        ("empty parts behind", "more than 20,000 parts"),
        ("a long name", "hold nothing"),
        ("empty blocks", "hold nothing"),
        ("another checksum", "cannot be read"),
        ("cut off", "cannot be read"),
        ("something behind", "cannot be read"),
        ("twice compressed", "cannot be read"),
    ],
)
def test_a_compressed_file_that_holds_little_costs_little(tmp_path: Path, how: str, reason: str) -> None:
    path = tmp_path / "z.nii.gz"
    path.write_bytes(stuffed(how))
    with pytest.raises(nifti.NoMapError, match=reason):
        nifti.check_map(path)


def test_offset_and_place_of_the_voxels_are_bounded(tmp_path: Path) -> None:
    import nibabel
    import numpy as np

    def with_header(**fields: Any) -> bytes:
        header = nibabel.Nifti1Header(nifti_header((2, 2, 2))[:348])
        for name, value in fields.items():
            header[name] = value
        return bytes(header.binaryblock) + bytes(4) + np.ones(8, np.float32).tobytes()

    path = tmp_path / "z.nii"
    path.write_bytes(with_header())
    nifti.check_map(path)
    for fields in ({"vox_offset": 1e30}, {"vox_offset": np.nan}, {"vox_offset": -1}, {"srow_x": np.nan}, {"srow_x": 0}):
        path.write_bytes(with_header(**fields))
        with pytest.raises(nifti.NoMapError):
            nifti.check_map(path)
