"""What every row of the REST benchmark is measured with."""

__all__ = ["Settings"]

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


def _be_silent(_line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Settings:
    """How much is measured, and on what.

    Attributes:
        threads: torch threads of every process that computes, ours and the rivals' alike.
        repeats: interleaved repetitions of a ratio; its median and spread are over these.
        warm_up: seconds of load before the first repetition, not counted.
        seconds: of load in each half of a repetition.
        width: of the VGG-16 that is served.
        clients: connections that each wait for their answer before they ask again.
        smoke: whether this only shows that the benchmark runs; see `Settings.for_smoke`.
        rivals_python: the interpreter of the environment that the rivals are installed in; None
            for this one.
        tell: gets a line a finding that a ratio leaves out: answers a second of each side, which
            setting of a rival was best.
    """

    threads: int = 2
    repeats: int = 5
    warm_up: float = 3.0
    seconds: float = 6.0
    width: float = 1.0
    clients: int = 16
    smoke: bool = False
    rivals_python: Path | None = None
    tell: Callable[[str], None] = field(default=_be_silent, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("threads", "repeats", "clients"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("seconds", "width"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected more than 0")
        if self.warm_up < 0:
            raise ValueError(f"warm_up is {self.warm_up}; expected 0 or more")

    @classmethod
    def for_smoke(
        cls,
        *,
        rivals_python: Path | None = None,
        tell: Callable[[str], None] = _be_silent,
    ) -> "Settings":
        """A tiny model and fractions of a second: that the rows run, not how fast."""
        return cls(
            threads=1,
            repeats=1,
            warm_up=0.1,
            seconds=0.3,
            width=0.125,
            clients=4,
            smoke=True,
            rivals_python=rivals_python,
            tell=tell,
        )
