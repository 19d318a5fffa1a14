"""How long a listing of a large store takes.

    python benchmarks/listing.py [--names 10000]

Makes a store of as many small patches as names, written without a sync each, and lists it: in a
first process, in another one that finds its index, and again once the list in memory stands.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from rwsstore.canonical import canonical_json
from rwsstore.patches import Patch, identify, make_patch
from rwsstore.store import Entry, Store

CORRUPTIONS = ("fog", "frost", "snow", "gaussian_noise", "glass_blur")
SETTLED = 5.5
"""Seconds after which a list in memory stands."""


def fill(root: Path, names: int) -> None:
    """Put patches into a store, each under a name of its own."""
    model = identify({"fc.weight": torch.zeros(2, 4), "fc.bias": torch.zeros(2)})
    deltas = {"fc.bias": torch.ones(2)}
    first = make_patch(
        kind="rws",
        name="fog",
        model=model,
        layers=("fc",),
        deltas=deltas,
        bits=8,
        corruption="fog",
        severity=5,
    )
    Store(root).publish(first)
    for number in range(names - 1):
        changes = {"name": f"patch-{number}", "corruption": CORRUPTIONS[number % 5]}
        patch = Patch.build(first.metadata.model_copy(update=changes), first.tensors, None)
        path = root / "objects" / patch.digest[:2] / f"{patch.digest}.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(patch.to_bytes())
        ref = {"format": 1, "name": patch.name, "versions": [patch.digest]}
        (root / "refs" / f"{patch.name}.json").write_text(canonical_json(ref))


def show(what: str, work: Callable[[], tuple[Entry, ...]]) -> None:
    """Print how long a listing took, and how many entries it has."""
    start = time.perf_counter()
    entries = work()
    print(f"{what:34}{1e3 * (time.perf_counter() - start):9.1f} ms{len(entries):8,} entries")


def main() -> None:
    """Time the listings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", type=int, default=10_000)
    names = parser.parse_args().names
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        fill(root, names)
        show("the first process", Store(root).list)
        store = Store(root)
        show("another process", store.list)
        time.sleep(SETTLED)
        store.list()
        architecture = store.list()[0].architecture
        show("all, by name", store.list)
        show("all, by bytes touched", lambda: store.list(sort="touched"))
        show("of one corruption", lambda: store.list(corruption="snow"))
        show(
            "of one model, by payload",
            lambda: store.list(architecture=architecture, sort="payload"),
        )


if __name__ == "__main__":
    main()
