"""Build the task's image, push it to a repository in ECR, and print the digest that names it from then on.

    make image                                  needs Docker, and credentials that boto3 finds
    scripts/task_image.py --architecture ARM64

The repository is made when it is not there. Nothing is printed on standard output but the image's name by digest, which
is what the template's parameter TaskImage wants.
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from compose_runner import __version__

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Architecture:
    """A processor, as Docker and as numba's compiler name it.

    Parameters
    ----------
    platform : str
        Docker's name.
    processor : str
        The oldest processor of that kind among Fargate's hosts, in LLVM's words.
    """

    platform: str
    processor: str


ARCHITECTURES = {
    "X86_64": Architecture("linux/amd64", "x86-64-v3"),
    "ARM64": Architecture("linux/arm64", "neoverse-n1"),
}


def docker(*arguments: str, stdin: str | None = None) -> str:
    """Run Docker, show what it says on standard error, and give its standard output."""
    done = subprocess.run(
        ["docker", *arguments], input=stdin, stdout=subprocess.PIPE, text=True, check=False, cwd=REPOSITORY
    )
    if done.returncode:
        raise SystemExit(f"docker {arguments[0]} failed with exit code {done.returncode}")
    return done.stdout.strip()


def repository_address(ecr: Any, name: str) -> str:
    """Address of a repository, made when it is not there."""
    try:
        return str(ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"])
    except ecr.exceptions.RepositoryNotFoundException:
        made = ecr.create_repository(
            repositoryName=name,
            imageScanningConfiguration={"scanOnPush": True},
            encryptionConfiguration={"encryptionType": "AES256"},
            tags=[{"Key": "application", "Value": "compose-runner"}],
        )
        return str(made["repository"]["repositoryUri"])


def log_in(ecr: Any, registry: str) -> None:
    """Let Docker push; the token goes through standard input, never onto a command line."""
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    docker("login", "--username", user, "--password-stdin", registry, stdin=password)


def push_image(repository: str, architecture: str, tag: str = __version__) -> str:
    """Build and push the image.

    Parameters
    ----------
    repository : str
        Name of the repository in ECR.
    architecture : str
        ``X86_64`` or ``ARM64``.
    tag : str
        Tag under which it is pushed besides.

    Returns
    -------
    str
        The image, named by digest.
    """
    ecr = boto3.client("ecr")
    address = repository_address(ecr, repository)
    log_in(ecr, address.partition("/")[0])
    kind = ARCHITECTURES[architecture]
    image = f"{address}:{tag}"
    print(f"Building {image} for {kind.platform}", file=sys.stderr)
    # the output of the build goes to standard error: standard output is the digest alone
    sys.stderr.write(
        docker(
            *("build", "--platform", kind.platform, "--file", "task/Dockerfile", "--tag", image),
            *("--build-arg", f"NUMBA_CPU_NAME={kind.processor}", "."),
        )
        + "\n"
    )
    sys.stderr.write(docker("push", image) + "\n")
    digests = docker("inspect", "--format", '{{join .RepoDigests "\\n"}}', image).splitlines()
    named = next((digest for digest in digests if digest.startswith(f"{address}@sha256:")), None)
    if named is None:
        raise SystemExit(f"Docker knows no digest of {image} in {address}")
    return named


def main() -> None:
    """Read the command line, push, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repository", default="compose-runner", help="name of the repository in ECR")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="X86_64")
    parser.add_argument("--tag", default=__version__)
    arguments = parser.parse_args()
    print(push_image(arguments.repository, arguments.architecture, arguments.tag))


if __name__ == "__main__":
    main()
