"""What putting a patch on a live model costs, against plainly copying the same tensors.

    python benchmarks/patching.py [--json] [--width 1.0]

All figures are medians of one run in one thread; the ratios are what to compare across machines.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from rwsstore.models import ModelSpec, build, load_clean_model, save_checkpoint, shallowest
from rwsstore.patches import Patch, identify, make_patch
from rwsstore.runtime import LiveModel
from rwsstore.store import Store

REPEATS = 51
LAYERS = 5


def random_patch(state: dict[str, torch.Tensor], names: list[str], number: int) -> Patch:
    generator = torch.Generator().manual_seed(number)
    deltas = {name: 1e-3 * torch.randn(state[name].shape, generator=generator) for name in names}
    return make_patch(
        kind="rws", name=f"patch{number}", model=identify(state), layers=("shallow",),
        deltas=deltas, bits=8,
    )  # fmt: skip


def median_ms(action: Callable[[int], object]) -> float:
    times = []
    for number in range(REPEATS):
        start = time.perf_counter()
        action(number)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def measure(width: float) -> dict[str, float]:
    spec = ModelSpec(network="vgg16", num_classes=10, width=width, folded=True)
    model = build(spec).eval()
    state = model.state_dict()
    names = [name for layer in shallowest(model, LAYERS) for name in layer.parameters]
    patches = [random_patch(state, names, number) for number in range(10)]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        for patch in patches:
            store.publish(patch)
        live = LiveModel(model, store)
        for patch in patches:
            live.variant({patch.name: 1.0})  # read and checked once a patch, not once a change
        checkpoint = Path(folder) / "model.safetensors"
        save_checkpoint(checkpoint, model)
        return {
            "head_parameters": sum(state[name].numel() for name in names),
            "copy_ms": median_ms(lambda _: [state[name].clone() for name in names]),
            # A new alpha each time, so that no variant is found ready.
            "put_on_ms": median_ms(lambda n: live.set_patches({"patch0": 1 + n / 1000})),
            "ten_composed_ms": median_ms(
                lambda n: live.set_patches({p.name: 0.1 + n / 1000 for p in patches})
            ),
            "switch_resident_ms": median_ms(
                lambda n: live.set_patches({"patch1": 1.0} if n % 2 else {})
            ),
            "reload_checkpoint_ms": median_ms(lambda _: load_clean_model(checkpoint)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--width", type=float, default=1.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(arguments.width)
    ratios = {
        f"{name.removesuffix('_ms')}_per_copy": found[name] / found["copy_ms"]
        for name in found
        if name.endswith("_ms") and name != "copy_ms"
    }
    if arguments.json:
        print(json.dumps({**found, **ratios}, indent=2))
        return
    for name, value in {**found, **ratios}.items():
        print(f"{name:28} {value:12,.3f}")


if __name__ == "__main__":
    main()
