"""Docker and Compose as commands."""

__all__ = [
    "ROOT",
    "Failed",
    "Skip",
    "base_image",
    "build",
    "compose_command",
    "docker",
    "own_size",
    "run",
]

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).parents[2]

_BUILD_SECONDS = 1800


class Skip(Exception):  # noqa: N818 - no error
    """The box cannot be tested on this machine, and why."""


class Failed(Exception):  # noqa: N818 - of a check
    """The box does not do what it should."""


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    seconds: float = 120,
    check: bool = True,
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder; what it prints is kept, or goes to `stdout`.

    Raises:
        Failed: it failed, or took too long.
    """
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command[:4])} took more than {seconds:.0f} s") from error
    if check and done.returncode != 0:
        last = "\n".join(((done.stdout or "") + done.stderr).strip().splitlines()[-20:])
        raise Failed(f"{' '.join(command[:4])} ... ended with {done.returncode}:\n{last}")
    return done


def docker(*arguments: str, seconds: float = 120, check: bool = True) -> str:
    """Run a docker command; give what it printed."""
    return run(["docker", *arguments], seconds=seconds, check=check).stdout.strip()


def compose_command() -> list[str]:
    """Find an engine that answers, and its Compose: the plugin, else docker-compose.

    Raises:
        Skip: there is none.
    """
    if shutil.which("docker") is None:
        raise Skip("there is no docker here")
    if run(["docker", "version", "--format", "{{.Server.Version}}"], check=False).returncode != 0:
        raise Skip("docker is here, and no engine answers it (docker version)")
    if run(["docker", "compose", "version"], check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is not None:
        return ["docker-compose"]
    raise Skip("there is neither docker compose nor docker-compose here")


def base_image() -> str:
    """Have the image that the Dockerfile starts from, pulled where it is not here yet.

    Raises:
        Skip: it cannot be had.
    """
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", text, re.MULTILINE)
    if found is None:
        raise Failed("the Dockerfile names no PYTHON_IMAGE")
    if run(["docker", "image", "inspect", found[1]], check=False).returncode != 0:
        try:
            docker("pull", "--quiet", found[1], seconds=180)
        except Failed as error:
            raise Skip(f"the base image {found[1]} is not here and cannot be pulled") from error
    return found[1]


def build(tag: str) -> None:
    """Build the image, with TORCH_INDEX of the environment where that is set, even if empty."""
    options = ["--network", "host", "--tag", tag]
    if "TORCH_INDEX" in os.environ:
        options += ["--build-arg", f"TORCH_INDEX={os.environ['TORCH_INDEX']}"]
    docker("build", *options, ".", seconds=_BUILD_SECONDS)


def own_size(tag: str, base: str) -> tuple[int, int]:
    """Give the bytes of the image's layers: those that are put on the base image, and its own."""
    total, beneath = (
        int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (tag, base)
    )
    return total - beneath, beneath
