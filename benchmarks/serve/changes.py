"""The row about latency while patch sets change."""

__all__ = ["p99_under_changes"]

import math
from collections.abc import Iterator

from rwsstore.speed import Ratio
from serve.asking import json_request
from serve.load import Load
from serve.own import TOKEN, own_service
from serve.server import Server
from serve.settings import Settings
from serve.turns import take_turns
from serve.work import MODEL_NAME, Work, make_work

_CLIENTS = 8
_RATE = 20.0  # changes a second
_WARM_UP = 10.0  # seconds of changes: then variants fill the memory that they may take
_REQUESTS = 1000  # in a window, at least: ten of them are slower than p99
_SPARE = 10.0  # seconds of changes beyond the window, for a slow first answer
_MOST_SECONDS = 60.0  # that a window lasts, however slow the machine


def p99_under_changes(settings: Settings) -> Ratio:
    """The 99th percentile of latency with 20 changes a second, over the one without.

    Clients predict with the active patch set; one more connection gives its patch a new strength
    each time. Without changes the same patch is on.
    """
    with make_work(settings, patches=1) as work, own_service(work, settings) as server:
        strengths = _strengths()
        _put_on(server, work, strengths, settings)
        seconds = _window(server, work, settings)
        loads: list[Load] = []

        def changing() -> float:
            count = math.ceil(_RATE * (2 * seconds + _SPARE))
            changes = [_change(work, next(strengths)) for _ in range(count)]
            loads.append(_load(server, work, seconds, changes))
            return loads[-1].p99

        found = take_turns(
            settings.repeats,
            {"changing": changing, "still": lambda: _load(server, work, seconds).p99},
        )
    _tell(settings, loads, found["still"])
    pairs = zip(found["changing"], found["still"], strict=True)
    return Ratio.of([one / other for one, other in pairs])


def _load(server: Server, work: Work, seconds: float, changes: list[bytes] | None = None) -> Load:
    return server.load(
        work.images, clients=_CLIENTS, seconds=seconds, paced=changes or (), rate=_RATE
    )


def _put_on(server: Server, work: Work, strengths: Iterator[float], settings: Settings) -> None:
    """Make the patch active, by changes of the same kind.

    A variant in memory that the process has never used costs page faults besides. Once evicted
    ones leave theirs, none does any more: that is what is measured.
    """
    seconds = 0.5 if settings.smoke else _WARM_UP
    changes = [_change(work, next(strengths)) for _ in range(math.ceil(_RATE * seconds))]
    server.load(work.images[:1], clients=1, seconds=seconds, paced=changes, rate=_RATE)


def _window(server: Server, work: Work, settings: Settings) -> float:
    """How long a window has to be for enough requests; it warms the service up as well."""
    if settings.smoke:
        return settings.seconds
    first = server.load(work.images, clients=_CLIENTS, seconds=max(1.0, settings.warm_up))
    return min(_MOST_SECONDS, max(settings.seconds, 1.1 * _REQUESTS / first.throughput))


def _strengths() -> Iterator[float]:
    """Strengths around 1, each another."""
    number = 0
    while True:
        yield 0.5 + number / 2**16
        number += 1


def _change(work: Work, alpha: float) -> bytes:
    path = f"/v1/models/{MODEL_NAME}/patchset/{work.patches[0]}"
    headers = (f"Authorization: Bearer {TOKEN}",)
    return json_request("PUT", path, {"alpha": alpha}, headers=headers)


def _tell(settings: Settings, loads: list[Load], still: tuple[float, ...]) -> None:
    for load, without in zip(loads, still, strict=True):
        settings.tell(
            f"p99 {load.p99:.1f} ms with {load.paced.answered} of {load.paced.due} changes "
            f"in {load.seconds:.1f} s ({load.paced.p50:.1f} ms each), {load.answers} answers; "
            f"{without:.1f} ms without"
        )
