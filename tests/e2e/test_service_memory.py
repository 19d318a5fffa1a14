"""Memory stays flat, whatever is put on and taken off."""

import random
import re
from pathlib import Path

import httpx
import pytest

from tests.e2e.running import PNG, pictures, png
from tests.service.box import ADMIN, Box

_MODEL = "/v1/models/bundled"
_MARGIN = 20 * 2**20
_NAMES = ("fog", "frost", "snow", "gaussian_noise")
# What is kept for reuse is bounded; the bound is to be reached before anything is measured.
_VARIABLES = {
    "RWS_RATE_LIMIT": "0",
    "RWS_LOG_LEVEL": "warning",
    "RWS_RESIDENT_BYTES": str(4 * 2**20),
}


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def change_and_predict(http: httpx.Client, image: bytes, draw: random.Random) -> None:
    """One change to weights that never were before, and a prediction after every other one."""
    name, alpha = draw.choice(_NAMES), draw.uniform(0.1, 1)
    place = f"{_MODEL}/patchset/{name}"
    act = draw.randrange(4)
    if act == 0:
        changed = http.delete(place)
    elif act == 1:
        changed = http.patch(place, json={"alpha": alpha})
    else:
        key = {"Idempotency-Key": f"{draw.getrandbits(64):x}"}
        changed = http.put(place, json={"alpha": alpha}, headers=key)
    assert changed.status_code in (200, 404)
    if draw.random() < 0.5:
        return
    patchset = "active" if draw.random() < 0.5 else f"{name}={alpha}"
    query = {"patchset": patchset}
    answer = http.post(f"{_MODEL}/predict", content=image, params=query, headers=PNG)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("warm_up", "count"), [(100, 200), pytest.param(1000, 10_000, marks=pytest.mark.soak)]
)
def test_memory_is_flat(tmp_path: Path, warm_up: int, count: int) -> None:
    draw, image = random.Random(count), png(pictures(1)[0])
    headers = {"Authorization": f"Bearer {ADMIN}"}
    with (
        Box(tmp_path, _VARIABLES) as box,
        httpx.Client(base_url=box.url, headers=headers, timeout=60) as http,
    ):
        for _ in range(warm_up):
            change_and_predict(http, image, draw)
        before = resident(box.pid)
        for _ in range(count):
            change_and_predict(http, image, draw)
        grown = resident(box.pid) - before
    assert grown < _MARGIN, f"{grown / 2**20:.1f} MiB more after {count} changes and predictions"
