"""What is measured: patches where a model has none of its own, images, strengths, actions."""

__all__ = [
    "copying",
    "forward_each",
    "patched_names",
    "predicting",
    "random_images",
    "random_patches",
    "strengths",
    "switching",
]

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from rwsstore.models import ordered_layers
from rwsstore.patches import Patch, identify, make_patch
from rwsstore.runtime import LiveModel, Variant
from rwsstore.speed.measuring import Action

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
    return tuple(
        make_patch(
            kind="rws",
            name=f"patch{number}",
            model=identity,
            layers=tuple(layer.name for layer in touched),
            deltas={name: _delta(state[name], generator) for name in names},
            bits=bits,
        )
        for number in range(count)
    )


def _delta(weights: Tensor, generator: torch.Generator) -> Tensor:
    scale = 0.05 * float(weights.abs().mean()) or 1e-3  # fresh biases are all 0
    return scale * torch.randn(weights.shape, generator=generator)


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
