"""The rows about throughput over REST: against the ceiling, and against what others would use."""

__all__ = [
    "check_same",
    "rest_vs_bentoml",
    "rest_vs_ceiling",
    "rest_vs_fastapi",
    "rest_vs_litserve",
    "throughput",
    "warm",
]

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from rwsstore.speed import Ratio
from serve.ceiling import Ceiling, ceiling
from serve.errors import BenchmarkError
from serve.own import OWN_FORMAT, ask_own_patch, own_service
from serve.rivals.registry import RIVALS, Rival, Setup, check_installed, rival_service
from serve.server import Server
from serve.settings import Settings
from serve.turns import take_turns
from serve.work import Work, make_work

_PLAIN = "float32"


def rest_vs_ceiling(settings: Settings) -> Ratio:
    """Clients with a patch set each, as a share of what the model computes without a service."""
    with ExitStack() as stack:
        work = stack.enter_context(make_work(settings, patches=settings.clients))
        server = stack.enter_context(own_service(work, settings, ask=ask_own_patch(work)))
        process = stack.enter_context(ceiling(work, settings, compute=OWN_FORMAT))
        warm(server, work, settings)
        ways: list[Mapping[str, float]] = []
        found = take_turns(
            settings.repeats,
            {
                "rest": lambda: throughput(server, work, settings),
                "ceiling": lambda: _highest(process, settings, ways),
            },
        )
    settings.tell(_line("REST, every client with a patch set of its own", found["rest"]))
    for name in ways[0]:
        settings.tell(_line(f"in process, {name}", [one[name] for one in ways]))
    return Ratio.of(_over(found["rest"], found["ceiling"]))


def rest_vs_litserve(settings: Settings) -> Ratio:
    """Our throughput over LitServe's, without patches."""
    return _against(RIVALS["litserve"], settings)


def rest_vs_bentoml(settings: Settings) -> Ratio:
    """Our throughput over BentoML's, without patches."""
    return _against(RIVALS["bentoml"], settings)


def rest_vs_fastapi(settings: Settings) -> Ratio:
    """Our throughput over a plain FastAPI service's, without patches."""
    return _against(RIVALS["fastapi"], settings)


def warm(server: Server, work: Work, settings: Settings) -> None:
    """Put load on a service that is not counted."""
    if settings.warm_up:
        server.load(work.images, clients=settings.clients, seconds=settings.warm_up)


def throughput(server: Server, work: Work, settings: Settings) -> float:
    """Measure answers a second in one window."""
    found = server.load(work.images, clients=settings.clients, seconds=settings.seconds)
    return found.throughput


def check_same(answers: Mapping[str, Any]) -> None:
    """Make sure that all do the same work: the same five labels for an image, in this order.

    Args:
        answers: JSON, by the name of the service.

    Raises:
        BenchmarkError: they differ.
    """
    found = {name: _labels(answer) for name, answer in answers.items()}
    if len(set(found.values())) != 1:
        raise BenchmarkError(f"the services do not name the same labels: {found}")


def _against(rival: Rival, settings: Settings) -> Ratio:
    check_installed(rival, settings)
    with ExitStack() as stack:
        work = stack.enter_context(make_work(settings, patches=0))
        setup = _best_setup(rival, work, settings)
        other = stack.enter_context(rival_service(rival, setup, work, settings))
        servers = {
            f"rwsstore, {OWN_FORMAT}": stack.enter_context(own_service(work, settings)),
            f"rwsstore, {_PLAIN}": stack.enter_context(own_service(work, settings, compute=_PLAIN)),
            f"{rival.title}, {setup}": other,
        }
        found = _measure(servers, work, settings)
    for name, values in found.items():
        settings.tell(_line(name, values))
    ours, plain, theirs = found.values()
    settings.tell(f"{statistics.median(_over(plain, theirs)):.2f} × with {_PLAIN}")
    return Ratio.of(_over(ours, theirs))


def _measure(
    servers: Mapping[str, Server], work: Work, settings: Settings
) -> dict[str, tuple[float, ...]]:
    check_same({name: one.answer(work.images[0]) for name, one in servers.items()})
    for server in servers.values():
        warm(server, work, settings)

    def side(server: Server) -> float:
        return throughput(server, work, settings)

    sides = {name: (lambda one=server: side(one)) for name, server in servers.items()}
    return take_turns(settings.repeats, sides)


def _labels(answer: Any) -> tuple[int, ...]:
    """The labels of an answer for one image: of ours, or of a rival's with or without a list."""
    one = answer[0] if isinstance(answer, list) else answer
    one = one["predictions"][0] if "predictions" in one else one
    return tuple(int(row["label"]) for row in one["top"])


def _best_setup(rival: Rival, work: Work, settings: Settings) -> Setup:
    """The setup with the highest throughput in one window each; in a smoke test the first."""
    setups = _distinct(rival.setups, settings)
    if settings.smoke or len(setups) == 1:
        return setups[0]
    rates = {}
    for setup in setups:
        with rival_service(rival, setup, work, settings) as server:
            warm(server, work, settings)
            rates[setup] = throughput(server, work, settings)
        settings.tell(_line(f"tried: {rival.title}, {setup}", [rates[setup]]))
    return max(rates, key=lambda setup: rates[setup])


def _distinct(setups: Sequence[Setup], settings: Settings) -> list[Setup]:
    """With one thread, a process a thread is one process."""
    return [one for one in setups if settings.threads > 1 or not one.spread]


def _highest(process: Ceiling, settings: Settings, ways: list[Mapping[str, float]]) -> float:
    ways.append(process.measure(settings.seconds))
    return max(ways[-1].values())


def _over(values: Sequence[float], against: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(values, against, strict=True)]


def _line(name: str, values: Sequence[float]) -> str:
    spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
    return f"{name}: {statistics.median(values):.1f} images/s{spread}"
