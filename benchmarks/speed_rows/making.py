"""What the rows measure: VGG-16 of some width, random patches on its five shallowest layers."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rwsstore.models import Classifier, ModelSpec, build
from rwsstore.patches import Patch
from rwsstore.runtime import (
    ComputeFormat,
    LiveModel,
    PatchBag,
    Variant,
    compute_format,
    fastest_format,
)
from rwsstore.speed.measuring import timings
from rwsstore.speed.subjects import forward_each, random_images, random_patches

FLOAT = ("packed", "packed_channels_last")
"""The fast formats in float32."""

HALF = ("bf16", "bf16_channels_last")
"""Those in bfloat16."""

_ROOM = 2**33
"""Bytes that variants may take, so that none is evicted."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A folded VGG-16 with weights as they are drawn, and as many 8-bit patches as images."""

    model: Classifier
    patches: tuple[Patch, ...]
    images: Tensor  # uint8 [B, 3, 32, 32]

    @property
    def singles(self) -> list[Tensor]:
        """The images as batches of one."""
        return [image[None] for image in self.images]

    def live(self, compute: str) -> LiveModel:
        """The model with its patches, in a compute format, with room for every variant."""
        return LiveModel(
            self.model,
            PatchBag(self.patches),
            compute=compute_format(compute),
            resident_bytes=_ROOM,
        )

    def variants(self, live: LiveModel) -> list[Variant]:
        """One for each patch."""
        return [live.variant({patch.name: None}) for patch in self.patches]

    def plain_modules(self) -> list[Classifier]:
        """One for each patch, with all its weights its own, as if there were no runtime."""
        modules = []
        for variant in self.variants(self.live("float32")):
            module = copy.deepcopy(self.model).eval().requires_grad_(False)
            module.load_state_dict(variant.state())
            modules.append(module)
        return modules


def make_scene(width: float, count: int) -> Scene:
    """Make a model of some width, and so many patches and images."""
    spec = ModelSpec(network="vgg16", num_classes=10, width=width, folded=True)
    model = build(spec).eval()
    return Scene(model, random_patches(model, count), random_images(count, spec.input_size))


def fastest_live(scene: Scene, formats: Sequence[str]) -> tuple[LiveModel, ComputeFormat]:
    """The model in that of some formats that a service would pick for batches of this size."""
    size = scene.model.spec.input_size
    offered = [compute_format(name) for name in formats]
    chosen = fastest_format(scene.model, offered, size=size, batch=len(scene.images)).chosen
    return scene.live(chosen.name), chosen


class _Placed(nn.Module):
    """A classifier's network in another arithmetic or memory format; logits are float32."""

    def __init__(self, model: Classifier, dtype: torch.dtype, layout: torch.memory_format) -> None:
        super().__init__()
        self.normalize = model.normalize
        placed = copy.deepcopy(model.network).to(dtype)
        # torch's stub leaves this documented overload of Module.to out.
        self.network = placed.to(memory_format=layout)  # type: ignore[call-overload]
        self._dtype, self._layout = dtype, layout

    def forward(self, images: Tensor) -> Tensor:
        pixels = self.normalize(images).to(self._dtype, memory_format=self._layout)
        logits: Tensor = self.network(pixels).float()
        return logits


def fastest_plain(scene: Scene, dtype: torch.dtype) -> tuple[list[nn.Module], str]:
    """Plain modules, one a patch, in that memory format in which calling each is fastest."""
    layouts = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    modules = scene.plain_modules()
    batches = scene.singles
    found = {}
    for name, layout in layouts.items():
        placed = [_Placed(module, dtype, layout) for module in modules]
        seconds = min(timings(forward_each(placed, batches), repeats=3, warm_up=2))
        found[name] = seconds, placed
    best = min(found, key=lambda name: found[name][0])
    return list(found[best][1]), best
