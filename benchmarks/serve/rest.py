"""The rows over REST: throughput, latency while patch sets change, and more and more clients."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from speed_rows.row import Curve, Finding, Row, RowSettings

from rwsstore.speed import Pairs
from serve.ceiling import ceiling
from serve.load import Load
from serve.processes import BenchmarkError
from serve.rivals.registry import RIVALS, Rival, Setup, check_installed, rival_service
from serve.server import Server, json_request
from serve.services import (
    MODEL_NAME,
    OWN_FORMAT,
    TOKEN,
    Work,
    ask_own_patch,
    make_work,
    own_service,
)

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
"""How many clients there are at the points of the curve."""

_PLAIN = "float32"
_CLIENTS = 8  # while patch sets change
_RATE = 20.0  # changes a second
_WARM_UP = 10.0  # seconds of changes: then variants fill the memory that they may take
_REQUESTS = 1000  # in a window, at least: ten of them are slower than p99
_SPARE = 10.0  # seconds of changes beyond the window, for a slow first answer
_MOST_SECONDS = 60.0  # that a window lasts, however slow the machine


def take_turns(
    repeats: int, sides: Mapping[str, Callable[[], float]]
) -> dict[str, tuple[float, ...]]:
    """Measure every side in each repetition, every second time in the opposite order.

    What slows the machine down slows all of them.

    Returns:
        of each side its figures, one a repetition
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats):
        order = list(sides)
        for name in reversed(order) if repeat % 2 else order:
            found[name].append(sides[name]())
    return {name: tuple(values) for name, values in found.items()}


def _warm(server: Server, work: Work, settings: RowSettings) -> None:
    """Put load on a service that is not counted."""
    if settings.rest_warm_up:
        server.load(work.images, clients=settings.clients, seconds=settings.rest_warm_up)


def _throughput(server: Server, work: Work, settings: RowSettings) -> float:
    """Answers a second in one window."""
    load = server.load(work.images, clients=settings.clients, seconds=settings.seconds)
    return load.throughput


def _line(name: str, values: Sequence[float]) -> str:
    spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
    return f"{name}: {statistics.median(values):.1f} images/s{spread}"


def _vs_ceiling(settings: RowSettings) -> Finding:
    """Clients with a patch set each, as a share of what the model computes without a service."""
    ways: list[Mapping[str, float]] = []
    with ExitStack() as stack:
        work = stack.enter_context(make_work(settings, patches=settings.clients))
        server = stack.enter_context(own_service(work, settings, ask=ask_own_patch(work)))
        process = stack.enter_context(ceiling(work, settings, compute=OWN_FORMAT))
        _warm(server, work, settings)

        def highest() -> float:
            ways.append(process.measure(settings.seconds))
            return max(ways[-1].values())

        found = take_turns(
            settings.rest_repeats,
            {"rest": partial(_throughput, server, work, settings), "ceiling": highest},
        )
    lines = [_line("REST, every client with a patch set of its own", found["rest"])]
    lines += [_line(f"in process, {name}", [one[name] for one in ways]) for name in ways[0]]
    ratio = Pairs(found["rest"], found["ceiling"]).ratio
    return Finding(ratio, details={"lines": lines})


def _vs_rival(settings: RowSettings, *, rival: Rival) -> Finding:
    """Our throughput over a rival's, without patches."""
    check_installed(rival, settings)
    with ExitStack() as stack:
        work = stack.enter_context(make_work(settings, patches=0))
        setup, lines = _best_setup(rival, work, settings)
        other = stack.enter_context(rival_service(rival, setup, work, settings))
        servers = {
            f"rwsstore, {OWN_FORMAT}": stack.enter_context(own_service(work, settings)),
            f"rwsstore, {_PLAIN}": stack.enter_context(own_service(work, settings, compute=_PLAIN)),
            f"{rival.title}, {setup}": other,
        }
        check_same({name: one.answer(work.images[0]) for name, one in servers.items()})
        for server in servers.values():
            _warm(server, work, settings)
        found = take_turns(
            settings.rest_repeats,
            {name: partial(_throughput, one, work, settings) for name, one in servers.items()},
        )
    lines += [_line(name, values) for name, values in found.items()]
    ours, plain, theirs = found.values()
    lines.append(f"{Pairs(plain, theirs).ratio.median:.2f} × with {_PLAIN}")
    return Finding(Pairs(ours, theirs).ratio, details={"lines": lines})


def _best_setup(rival: Rival, work: Work, settings: RowSettings) -> tuple[Setup, list[str]]:
    """The setup with the highest throughput in one window each; in a smoke test the first.

    With a line for each that was tried. With one thread, a process a thread is one process.
    """
    setups = [one for one in rival.setups if settings.threads > 1 or not one.spread]
    if settings.smoke or len(setups) == 1:
        return setups[0], []
    rates = {}
    for setup in setups:
        with rival_service(rival, setup, work, settings) as server:
            _warm(server, work, settings)
            rates[setup] = _throughput(server, work, settings)
    lines = [_line(f"tried: {rival.title}, {one}", [rate]) for one, rate in rates.items()]
    return max(rates, key=lambda setup: rates[setup]), lines


def check_same(answers: Mapping[str, Any]) -> None:
    """Make sure that all do the same work: the same five labels for an image, in this order.

    Args:
        answers: JSON by the name of the service, of ours or of a rival, with or without a list.

    Raises:
        BenchmarkError: they differ.
    """
    found = {}
    for name, answer in answers.items():
        one = answer[0] if isinstance(answer, list) else answer
        one = one["predictions"][0] if "predictions" in one else one
        found[name] = tuple(int(row["label"]) for row in one["top"])
    if len(set(found.values())) != 1:
        raise BenchmarkError(f"the services do not name the same labels: {found}")


def _under_changes(settings: RowSettings) -> Finding:
    """The 99th percentile of latency with 20 changes a second, over the one without.

    Clients predict with the active patch set; one more connection gives its patch a new strength
    each time. Without changes the same patch is on.
    """
    with make_work(settings, patches=1) as work, own_service(work, settings) as server:
        changes = _changes(work)
        # A variant in memory that the process has never used costs page faults besides. Once
        # evicted ones leave theirs, none does any more: that is what is measured.
        seconds = 0.5 if settings.smoke else _WARM_UP
        first = list(itertools.islice(changes, math.ceil(_RATE * seconds)))
        server.load(work.images[:1], clients=1, seconds=seconds, paced=first, rate=_RATE)
        window = _window(server, work, settings)
        loads: list[Load] = []

        def load(paced: Sequence[bytes] = ()) -> Load:
            return server.load(
                work.images, clients=_CLIENTS, seconds=window, paced=paced, rate=_RATE
            )

        def changing() -> float:
            count = math.ceil(_RATE * (2 * window + _SPARE))
            loads.append(load(list(itertools.islice(changes, count))))
            return loads[-1].p99

        found = take_turns(
            settings.rest_repeats, {"changing": changing, "still": lambda: load().p99}
        )
    lines = [
        f"p99 {one.p99:.1f} ms with {one.paced_answered} of {one.paced_due} changes "
        f"in {one.seconds:.1f} s ({one.paced_p50:.1f} ms each), {one.answers} answers; "
        f"{without:.1f} ms without"
        for one, without in zip(loads, found["still"], strict=True)
    ]
    return Finding(Pairs(found["changing"], found["still"]).ratio, details={"lines": lines})


def _changes(work: Work) -> Iterator[bytes]:
    """Requests that put the patch on, each with another strength around 1."""
    path = f"/v1/models/{MODEL_NAME}/patchset/{work.patches[0]}"
    headers = (f"Authorization: Bearer {TOKEN}",)
    for number in itertools.count():
        yield json_request("PUT", path, {"alpha": 0.5 + number / 2**16}, headers=headers)


def _window(server: Server, work: Work, settings: RowSettings) -> float:
    """How long a window has to be for enough requests; it warms the service up as well."""
    if settings.smoke:
        return settings.seconds
    first = server.load(work.images, clients=_CLIENTS, seconds=max(1.0, settings.rest_warm_up))
    return min(_MOST_SECONDS, max(settings.seconds, 1.1 * _REQUESTS / first.throughput))


def clients_curve(settings: RowSettings) -> Curve:
    """The service's answers a second and latencies, by the number of clients.

    Each has a patch set of its own, and asks in a closed loop.
    """
    counts = (1, 4) if settings.smoke else CLIENTS
    curve = {}
    with ExitStack() as stack:
        work = stack.enter_context(make_work(settings, patches=max(counts)))
        server = stack.enter_context(own_service(work, settings, ask=ask_own_patch(work)))
        _warm(server, work, settings)
        for count in counts:
            load = server.load(work.images, clients=count, seconds=settings.seconds)
            curve[str(count)] = {
                "per_second": load.throughput,
                "p50_ms": load.p50,
                "p99_ms": load.p99,
            }
    return curve


ROWS = (
    Row(
        "rest_vs_ceiling",
        "REST, 16 clients, one 32×32 JPEG a request, each its own patch set",
        "the in-process batch ceiling of the same model",
        "≥ 0.6",
        _vs_ceiling,
    ),
    *(
        Row(
            f"rest_vs_{name}",
            "unpatched predictions over REST, 16 clients",
            rival.against,
            "> 1",
            partial(_vs_rival, rival=rival),
        )
        for name, rival in RIVALS.items()
    ),
    Row(
        "p99_under_changes",
        "p99 latency while patch sets change 20 times a second",
        "without changes",
        "≤ 1.3",
        _under_changes,
    ),
)
