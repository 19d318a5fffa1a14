"""A store with a few small patches, and what the engine keeps around it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rwsstore.canonical import Digest
from rwsstore.patches import CardPoint, Patch, RobustnessCard
from rwsstore.store import FittingStore, Store
from rwsstore_service.engine.finding import Finder
from rwsstore_service.engine.journal import Journal
from rwsstore_service.engine.library import Library
from rwsstore_service.engine.records import Actor
from tests.patches.factory import make_identity, make_test_patch

OPS = Actor("ops", "127.0.0.1", "r1")
CARD = RobustnessCard(
    images=100,
    points=(
        CardPoint(alpha=0.0, ta=90.0, ra=50.0),
        CardPoint(alpha=0.5, ta=89.0, ra=60.0),
        CardPoint(alpha=1.0, ta=86.0, ra=70.0),
    ),
)


@dataclass(frozen=True)
class Shelf:
    """Stores, with the bundled layer underneath, for a model that is called clean."""

    store: Store
    base: Store
    finder: Finder
    journal: Journal
    library: Library

    def publish(self, name: str, **fields: Any) -> Digest:
        """Store a small patch without a word in the journal."""
        return self.store.publish(make_test_patch(name, **fields)).digest


def make_shelf(folder: Path, *, at_most: int = 4, bundled: tuple[Patch, ...] = ()) -> Shelf:
    """Open all of it; the journal is to be closed."""
    for patch in bundled:
        Store(folder / "base").publish(patch)
    base = Store(folder / "base", read_only=True)
    store = Store(folder / "store", base=base) if bundled else Store(folder / "store")
    finder = Finder(FittingStore(store, make_identity()), at_most=at_most)
    journal = Journal(folder / "state")
    return Shelf(store, base, finder, journal, Library(store, finder, make_identity(), journal))
