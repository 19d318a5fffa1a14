"""What a process of its own finds, as JSON; run once by tests/test_afresh.py.

Every import is at its place here: what is loaded by then is what is asked.
"""

import hashlib
import json
import sys
from importlib import import_module
from pathlib import Path

OPTIONAL = ("torchvision", "matplotlib", "matplotlib.pyplot")
PACKAGES = ("rwsstore", "rwsstore.models", "rwsstore.measure", "rwsstore.measure.adversarial")


def loaded() -> list[str]:
    return [name for name in OPTIONAL if name in sys.modules]


def after_imports() -> dict[str, list[str]]:
    found = {}
    for name in PACKAGES:
        import_module(name)
        found[name] = loaded()
    return found


def after_corrupting() -> list[str]:
    import torch

    from rwsstore.corruptions import Corrupt

    Corrupt("fog", 3)(torch.zeros(1, 3, 8, 8, dtype=torch.uint8) + 9)
    return loaded()


def fingerprint() -> str:
    import torch

    from rwsstore.models import weights_fingerprint

    names = {"w", "v", "u"}
    return weights_fingerprint({name: torch.arange(3.0) for name in names})


def patch_digest() -> str:
    from rwsstore.patches import Patch
    from tests.patches.factory import make_test_patch

    patch = make_test_patch(dataset="é")
    backwards = sorted(patch.tensors, reverse=True)
    tensors = {name: patch.tensors[name] for name in backwards}
    return Patch.build(patch.metadata, tensors, None).digest


def corrupted_digest() -> str:
    """One hash over what all corruptions make of random pictures."""
    import torch

    from rwsstore.corruptions import CORRUPTIONS, corrupt

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=generator)
    digest = hashlib.sha256()
    for name in CORRUPTIONS:
        digest.update(corrupt(images, name, 5, seed=9).numpy().tobytes())
    return digest.hexdigest()


def after_drawing(path: Path) -> list[str]:
    from rwsstore.measure import plot_report
    from tests.measure.making import make_report

    plot_report(make_report(), path)
    return loaded()


if __name__ == "__main__":
    answers = {
        "after_imports": after_imports(),
        "after_corrupting": after_corrupting(),
        "fingerprint": fingerprint(),
        "patch_digest": patch_digest(),
        "corrupted_digest": corrupted_digest(),
        "after_drawing": after_drawing(Path(sys.argv[1])),
    }
    sys.stdout.write(json.dumps(answers))
