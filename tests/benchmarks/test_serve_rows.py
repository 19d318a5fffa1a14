"""The rows, in small: that they run on real processes, not how fast."""

import os
import re
from pathlib import Path

import pytest
from serve import ROWS, NotInstalledError, Settings, clients_growth

pytestmark = pytest.mark.slow

# The interpreter of the rivals' environment, benchmarks/requirements-rivals.txt, if there is one.
RIVALS_PYTHON = os.environ.get("RIVALS_PYTHON")


def smoke(lines: list[str], rivals_python: str | None = None) -> Settings:
    python = None if rivals_python is None else Path(rivals_python)
    return Settings.for_smoke(rivals_python=python, tell=lines.append)


def test_against_the_ceiling() -> None:
    lines: list[str] = []
    ratio = ROWS["rest_vs_ceiling"](smoke(lines))
    assert 0 < ratio.low <= ratio.median <= ratio.high
    assert [line.partition(": ")[0] for line in lines] == [
        "REST, every client with a patch set of its own",
        "in process, packed",
        "in process, plain torch",
    ]


@pytest.mark.parametrize("name", ["fastapi", "litserve", "bentoml"])
def test_against_a_rival(name: str) -> None:
    lines: list[str] = []
    try:
        ratio = ROWS[f"rest_vs_{name}"](smoke(lines, RIVALS_PYTHON))
    except NotInstalledError as error:
        assert name != "fastapi"
        pytest.skip(str(error))
    assert 0 < ratio.low <= ratio.median <= ratio.high
    assert len(lines) == 4


def test_under_changes() -> None:
    lines: list[str] = []
    ratio = ROWS["p99_under_changes"](smoke(lines))
    assert ratio.median > 0
    told = re.search(r"with (\d+) of (\d+) changes", lines[0])
    assert told is not None
    assert int(told[1]) > 0
    assert 5 <= int(told[2]) <= 7  # 20 a second, 0.3 s


def test_more_and_more_clients() -> None:
    points = clients_growth(smoke([]))
    assert [point.clients for point in points] == [1, 4]
    assert all(0 < point.p50 <= point.p99 for point in points)
    assert all(point.throughput > 0 for point in points)
