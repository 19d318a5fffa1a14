"""Builds the image, brings the box up, works with it, kills it, takes it down.

Needs a Docker engine with Compose, and the project's development environment. Where there is no
engine, or no base image, it says so and ends with 0 (with --require: 1).
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable

from scripts.boxtest.box import Box
from scripts.boxtest.engine import (
    Failed,
    Skip,
    base_image,
    build,
    compose_command,
    docker,
    own_size,
)
from scripts.boxtest.hardening import (
    check_hardening,
    check_other_user,
    check_refuses_without_token,
)
from scripts.boxtest.killing import check_kills
from scripts.boxtest.using import check_backup, check_push, check_restart, drive

_TAG = "rwsstore:box-test"
_MB = 1_000_000


def main() -> int:
    """Run the whole test; give the exit status."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the box is taken down
    began = time.monotonic()
    try:
        compose = compose_command()
        base = base_image()
        image = options.image or _TAG
        if options.image is None:
            _step("build", lambda: build(image))
        own, beneath = own_size(image, base)
        print(f"image: {own / _MB:.0f} MB on a base of {beneath / _MB:.0f} MB", flush=True)
        _test(image, compose, options.kills)
    except Skip as reason:
        print(f"box test skipped: {reason}")
        return 1 if options.require else 0
    except Failed as error:
        print(f"box test FAILED: {error}", file=sys.stderr)
        return 1
    print(f"box test passed in {time.monotonic() - began:.0f} s")
    return 0


def _test(image: str, compose: list[str], kills: int) -> None:
    _step("refuses to start without a token", lambda: check_refuses_without_token(image))
    _step("starts as any user", lambda: check_other_user(image))
    box = Box(image, compose)
    try:
        _step("up and ready", box.up)
        _step("read-only, no capabilities, limits, loopback", lambda: check_hardening(box))
        _step("apply, scale, compose, predict, remove", lambda: drive(box))
        _step("rws remote push", lambda: check_push(box))
        _step("restart: generation, patch set, history", lambda: check_restart(box))
        _step(f"killed {kills} times while patches change", lambda: check_kills(box, kills))
        _step("backup, restored on an empty box", lambda: check_backup(box))
        _step("healthy, says the engine", box.wait_healthy)
        _step("memory", lambda: _memory(box))
    except BaseException:
        print(box.log(), file=sys.stderr)
        raise
    finally:
        box.down()


def _memory(box: Box) -> str:
    return docker("stats", "--no-stream", "--format", "{{.MemUsage}}", box.container())


def _step(name: str, do: Callable[[], object]) -> None:
    began = time.monotonic()
    result = do()
    told = f": {result}" if isinstance(result, int | str) and result != "" else ""
    print(f"ok {time.monotonic() - began:6.1f} s  {name}{told}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/box-test", description=__doc__)
    parser.add_argument("--image", help="test this image instead of building one")
    parser.add_argument("--kills", type=int, default=5, help="how often it is killed (5)")
    parser.add_argument("--require", action="store_true", help="fail where nothing can be tested")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
