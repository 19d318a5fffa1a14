"""Kills in the middle of patch changes, and what must be there afterwards."""

__all__ = ["Ledger", "check_kills"]

import random
from dataclasses import dataclass, field

from rwsstore_client import Client, ConnectError, Generation, Model, PatchSet, ProtocolError
from scripts.boxtest.box import Box
from scripts.boxtest.checks import expect
from scripts.boxtest.engine import Failed
from scripts.boxtest.using import whole_history

_NAMES = ("fog", "contrast", "gaussian_noise", "motion_blur")
_MOST_CHANGES = 100_000
_DELAYS = (0.1, 0.8)

Wanted = dict[str, float]

# A copy, since the service holds the journal; nothing is written while this reads it.
_VERIFY = """
import pathlib, shutil
from rwsstore_service.engine.journal import Journal
copy = pathlib.Path("/tmp/verify")
shutil.rmtree(copy, ignore_errors=True)
copy.mkdir()
shutil.copy("/data/state/journal.sqlite", copy)
with Journal(copy) as journal:
    print(*journal.verify(), sep="\\n", end="")
shutil.rmtree(copy)
"""


@dataclass
class Ledger:
    """What the service acknowledged, and what it was asked last.

    Attributes:
        acknowledged: every patch set that was answered, by generation.
        pending: what was asked and not answered.
    """

    acknowledged: dict[int, PatchSet]
    pending: Wanted | None = None
    changes: int = field(default=0)

    @property
    def last(self) -> PatchSet:
        """The newest that was acknowledged."""
        return self.acknowledged[max(self.acknowledged)]

    def take(self, answer: PatchSet) -> None:
        """Note an answer."""
        expect("acknowledged", _strengths(answer), self.pending)
        expect("its generation", answer.generation, self.last.generation + 1)
        self.acknowledged[answer.generation] = answer
        self.pending = None
        self.changes += 1


def check_kills(box: Box, kills: int, seed: int = 0) -> int:
    """Kill the service so often while its patch set changes; say how many changes were answered.

    Raises:
        Failed: after a start, the generation is neither the last that was acknowledged nor the
            one after, or what was acknowledged is not in the history, or the journal is damaged.
    """
    chance = random.Random(seed)
    with Client(box.url, box.token, retries=0) as rws:
        model = rws.model("bundled")
        now = model.patchset.get()
        ledger = Ledger({now.generation: now})
        for _ in range(kills):
            killer = box.kill_soon(chance.uniform(*_DELAYS))
            _change_until_dead(model, ledger, chance)
            killer.join()
            box.start()
            _check_survived(model, ledger)
            expect("faults of the journal", box.run_inside("python", "-c", _VERIFY), "")
            expect("weights as freshly made", model.patchset.verify().problems, ())
    return ledger.changes


def _change_until_dead(model: Model, ledger: Ledger, chance: random.Random) -> None:
    for _ in range(_MOST_CHANGES):
        try:
            ledger.take(_change(model, ledger, chance))
        except (ConnectError, ProtocolError):
            return
    raise Failed("the service could not be killed")


def _change(model: Model, ledger: Ledger, chance: random.Random) -> PatchSet:
    """Ask for something else than what is on."""
    active = _strengths(ledger.last)
    name = chance.choice(_NAMES)
    alpha = chance.randint(1, 16) / 16
    earlier = chance.choice(list(ledger.acknowledged.values()))
    if _strengths(earlier) != active and chance.random() < 0.2:
        ledger.pending = _strengths(earlier)
        return model.patchset.rollback(earlier.generation)
    if name not in active:
        ledger.pending = {**active, name: alpha}
        return model.patchset.apply(name, alpha=alpha)
    if active[name] != alpha:
        ledger.pending = {**active, name: alpha}
        return model.patchset.scale(name, alpha=alpha)
    ledger.pending = {key: value for key, value in active.items() if key != name}
    return model.patchset.remove(name)


def _check_survived(model: Model, ledger: Ledger) -> None:
    now = model.patchset.get()
    if now.generation == ledger.last.generation:
        expect("patch set", _strengths(now), _strengths(ledger.last))
    else:
        expect("generation", now.generation, ledger.last.generation + 1)
        expect("patch set", _strengths(now), ledger.pending)
        ledger.acknowledged[now.generation] = now
    ledger.pending = None
    history = {entry.generation: entry for entry in whole_history(model)}
    expect("generations", sorted(history), list(range(1, now.generation + 1)))
    for generation, answer in ledger.acknowledged.items():
        expect(f"generation {generation}", _kept(history[generation]), _kept(answer))


def _strengths(patchset: PatchSet) -> Wanted:
    return {found.patch: found.alpha for found in patchset}


def _kept(entry: PatchSet | Generation) -> tuple[object, ...]:
    return entry.patches, entry.resolved, entry.state_digest, entry.at
