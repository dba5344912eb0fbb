"""The files for a lab server fit what ``compose-runner serve`` takes, and one another."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from compose_runner.commands.serve import serve

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "lab-server"
UNIT = (FOLDER / "compose-runner.service").read_text()
NGINX = (FOLDER / "nginx.conf").read_text()
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
PAGE = (REPOSITORY / "docs" / "lab-server.md").read_text()


def commands() -> dict[str, list[str]]:
    """Arguments of each ``serve`` in the files and on the page."""
    started = re.search(r"ExecStart=(\S+) serve \\\n((?:.*\\\n)*.*)", UNIT)
    entry = re.search(r"ENTRYPOINT (\[.*\])", DOCKERFILE)
    assert started is not None
    assert entry is not None
    container = re.search(r"compose-runner-serve (--.*)", PAGE)
    assert container is not None
    alone = re.search(r"\$ compose-runner serve (.*)", PAGE)
    assert alone is not None
    return {
        "unit": shlex.split(started[2].replace("\\\n", " ")),
        "image": [*json.loads(entry[1])[2:], *shlex.split(container[1])],
        "tunnel": shlex.split(alone[1]),
    }


def test_every_command_has_options_that_there_are() -> None:
    for arguments in commands().values():
        parsed = serve.make_context("serve", list(arguments))
        assert parsed.params["artifacts_port"] == 8644


def test_unit_proxy_and_page_mean_the_same_ports_and_names() -> None:
    parsed = serve.make_context("serve", commands()["unit"]).params
    assert f"proxy_pass http://127.0.0.1:{parsed['port']};" in NGINX
    assert f"proxy_pass http://127.0.0.1:{parsed['artifacts_port']};" in NGINX
    assert f"proxy_set_header Host 127.0.0.1:{parsed['port']};" in NGINX
    assert parsed["artifacts_url"] == "https://lab.example:8643"
    assert "listen 8643 ssl;" in NGINX
    assert parsed["parameters"] == {"CorsOrigins": "https://lab.example"}
    for path in (
        "/etc/compose-runner/environment",
        "/etc/nginx/compose-runner-token.conf",
        "/etc/nginx/compose-runner.htpasswd",
    ):
        assert path in PAGE
        assert path in UNIT + NGINX


def test_what_the_image_copies_exists_and_is_in_the_context() -> None:
    context = {
        line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = [source for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", DOCKERFILE) for source in line.split()[:-1]]
    assert copied
    for source in copied:
        assert (REPOSITORY / source).exists(), source
        assert source.split("/")[0] in context


def test_what_the_image_installs_is_pinned() -> None:
    installs = re.findall(r"pip install ([^&]*)", DOCKERFILE)
    assert len(installs) == 3
    assert all("--require-hashes" in one or "--constraint requirements/development.txt" in one for one in installs)
