"""What is measured: patches, images, sets; and what those that stay resident take in memory.

Allocators seldom give memory back, so a process that has done other work finds room in it and
seems to need none. A child starts bare: it loads the model, then puts one patch set after the
other on it and predicts with each. Whenever it reads what the kernel says it holds, it first has
its allocator give back what is free.

Only anonymous memory counts, what a process has made for itself. The libraries that it maps from
files are shared, and what the kernel puts down to one process of them falls whenever another one
that maps them starts.
"""

import copy
import ctypes
import gc
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rwsstore.errors import ConfigError, RwsError
from rwsstore.models import Classifier, load_checkpoint, ordered_layers, save_checkpoint
from rwsstore.patches import Patch, identify, make_patch
from rwsstore.runtime import FLOAT32, ComputeFormat, LiveModel, Variant, compute_format
from rwsstore.speed.measuring import Action
from rwsstore.store import Store

_STEPS = 2**20
"""How many strengths a patch has before one comes again."""


def random_patches(
    model: nn.Module, count: int, *, layers: int = 5, bits: int = 8, seed: int = 0
) -> tuple[Patch, ...]:
    """Make patches that cost what real ones do and mean nothing.

    Args:
        model: float32; its deltas are about a twentieth of its weights.
        count: of patches, named `patch0`, `patch1`, … .
        layers: how many of the shallowest they touch; all, where there are fewer.
        bits: of the quantized tensors.
        seed: of the deltas.

    Raises:
        ConfigError: the model's layers cannot be told, or `bits` is no width.
        TensorError: a weight is not finite.
    """
    touched = ordered_layers(model)[:layers]
    state = model.state_dict()
    names = [name for layer in touched for name in layer.parameters]
    identity = identify(state)
    generator = torch.Generator().manual_seed(seed)

    def delta(weights: Tensor) -> Tensor:
        scale = 0.05 * float(weights.abs().mean()) or 1e-3  # fresh biases are all 0
        return scale * torch.randn(weights.shape, generator=generator)

    return tuple(
        make_patch(
            kind="rws",
            name=f"patch{number}",
            model=identity,
            layers=tuple(layer.name for layer in touched),
            deltas={name: delta(state[name]) for name in names},
            bits=bits,
        )
        for number in range(count)
    )


def random_images(count: int, size: int, *, seed: int = 0) -> Tensor:
    """Noise, uint8 [count, 3, size, size]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def patched_names(patches: Sequence[Patch]) -> tuple[str, ...]:
    """Names of the tensors that patches touch, each once, sorted."""
    return tuple(sorted({name for patch in patches for name in patch.tensors}))


def strengths(patch: Patch) -> Iterator[float]:
    """Strengths within a patch's range, falling from the recommended one, none of them twice."""
    alpha = patch.metadata.alpha
    for step in range(_STEPS):
        yield alpha.minimum + (alpha.recommended - alpha.minimum) * (1 - step / _STEPS)


def switching(live: LiveModel, patches: Sequence[Patch]) -> Action:
    """Make an action that builds a variant of some patches, at new strengths each time.

    So no variant is found ready. The patches themselves are: a first variant, which the action
    holds, keeps their decoded codes in memory.

    Args:
        live: knows the patches by their names.
        patches: that go on together.

    Raises:
        RwsError: as `LiveModel.variant`.
    """
    steps = {patch.name: strengths(patch) for patch in patches}

    def put_on() -> Variant:
        return live.variant({name: next(alphas) for name, alphas in steps.items()})

    held = put_on()

    def switch(_: Variant = held) -> Variant:
        return put_on()

    return switch


def copying(model: nn.Module, names: Sequence[str]) -> Action:
    """Make an action that copies some of a model's tensors, and does nothing else.

    A copy stays until the next one is there, as a variant does: so both find their memory alike.
    """
    state = model.state_dict()
    tensors = [state[name] for name in names]
    kept = [tensor.clone() for tensor in tensors]

    def copy() -> list[Tensor]:
        nonlocal kept
        kept = [tensor.clone() for tensor in tensors]
        return kept

    return copy


def predicting(live: LiveModel, images: Tensor, variants: Sequence[Variant]) -> Action:
    """Make an action that predicts a batch, each image with a variant of its own."""
    return lambda: live.predict_mixed(images, variants)


def forward_each(modules: Sequence[nn.Module], batches: Sequence[Tensor]) -> Action:
    """Make an action that calls plain modules one after the other, each on its own images."""

    @torch.inference_mode()
    def run() -> list[Tensor]:
        return [module(images) for module, images in zip(modules, batches, strict=True)]

    return run


_ROLLUP = Path("/proc/self/smaps_rollup")
_PROGRAM = "from rwsstore.speed.subjects import child; child()"
_ROOM = 2**40
"""Bytes that variants may take in the child: so that none is evicted."""


@dataclass(frozen=True)
class MemoryUse:
    """What a process held, in bytes, by the kernel's count of its anonymous memory.

    Attributes:
        patch_sets: how many were resident at the end, each of them used.
        live: growth by loading the model and predicting with it, without patches.
        half: further growth by the first half of the patch sets, rounded down.
        patched: further growth by all of them.
        full_model: growth by one more full model, used once; the mean of several.
    """

    patch_sets: int
    live: int
    half: int
    patched: int
    full_model: int

    @property
    def per_patch_set(self) -> float:
        """Bytes that one more takes: the mean of the second half, when caches have filled up."""
        return (self.patched - self.half) / (self.patch_sets - self.patch_sets // 2)

    @property
    def against_models(self) -> float:
        """The patch sets over as many full models."""
        return self.patched / (self.patch_sets * self.full_model)

    @property
    def whole_against_models(self) -> float:
        """The clean model and the patch sets together, over as many full models."""
        return (self.live + self.patched) / (self.patch_sets * self.full_model)


def anonymous_memory(*, rollup: Path = _ROLLUP) -> int | None:
    """Bytes of memory that this process has made for itself, swapped out or not.

    Args:
        rollup: where Linux tells it.

    Returns:
        None where the system does not tell.
    """
    try:
        lines = rollup.read_text().splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) for line in lines if line.startswith(("Anonymous:", "Swap:"))]
    return 1024 * sum(sizes) if sizes else None


def measure_memory(
    model: Classifier,
    patches: Iterable[Patch],
    *,
    patch_sets: int | None = None,
    compute: ComputeFormat = FLOAT32,
    full_models: int = 3,
) -> MemoryUse:
    """Measure what patch sets of one patch each take while they are resident.

    Args:
        model: the clean model.
        patches: that the sets are made of, in turn; not composed.
        patch_sets: how many; as many as patches by default. Where a patch comes again, it is at
            another strength.
        compute: the format that each predicts in.
        full_models: how many whole models are made for comparison.

    Raises:
        ConfigError: there is no patch, or this system does not tell what a process holds.
        RwsError: the child failed.
    """
    if anonymous_memory() is None:
        raise ConfigError("this system does not tell what a process holds: only Linux does")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, store = Path(folder) / "model.safetensors", Store(Path(folder) / "store")
        save_checkpoint(checkpoint, model)
        chosen = tuple(patches)
        if not chosen:
            raise ConfigError("no patch to measure the memory of")
        for patch in chosen:
            store.publish(patch)
        falling = itertools.cycle([(patch.digest, strengths(patch)) for patch in chosen])
        turns = itertools.islice(falling, len(chosen) if patch_sets is None else patch_sets)
        request = {
            "checkpoint": str(checkpoint),
            "store": str(store.root),
            "patch_sets": [(digest, next(alphas)) for digest, alphas in turns],
            "compute": compute.name,
            "full_models": full_models,
            "threads": torch.get_num_threads(),
        }
        done = subprocess.run(  # noqa: S603  (our own interpreter, our own program)
            [sys.executable, "-c", _PROGRAM],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RwsError(f"the process that memory is measured in failed: {done.stderr.strip()}")
    return MemoryUse(**json.loads(done.stdout))


def child() -> None:
    """Measure in this process: what is asked on standard input, the answer on standard output."""
    request = json.load(sys.stdin)
    torch.set_num_threads(request["threads"])
    bare = _held()
    model = load_checkpoint(request["checkpoint"])
    live = LiveModel(
        model,
        Store(Path(request["store"]), read_only=True),
        compute=compute_format(request["compute"]),
        resident_bytes=_ROOM,
    )
    images = random_images(1, model.spec.input_size)
    live.predict_mixed(images, [live.active])
    clean, chosen = _held(), request["patch_sets"]
    half = len(chosen) // 2
    held = []
    for patch_sets in (chosen[:half], chosen[half:]):
        for digest, alpha in patch_sets:
            live.predict_mixed(images, [live.variant({digest: alpha})])
        held.append(_held())
    models = [copy.deepcopy(live.clean.module) for _ in range(request["full_models"])]
    with torch.inference_mode():
        for one in models:
            one(images)
    found = MemoryUse(
        patch_sets=len(chosen),
        live=clean - bare,
        half=held[0] - clean,
        patched=held[1] - clean,
        full_model=(_held() - held[1]) // len(models),
    )
    sys.stdout.write(json.dumps(asdict(found)))


def _held() -> int:
    gc.collect()
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc; not in every libc
    if give_back is not None:
        give_back(0)
    return anonymous_memory() or 0
