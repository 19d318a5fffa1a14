"""The forward pass for everybody: one batch, any mix of patch sets, one compute format."""

import threading
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from rwsstore.cache import LruCache
from rwsstore.errors import ConfigError
from rwsstore.models.graph import Graph, is_convolution
from rwsstore.runtime.bounds import Bounds, ValueRange
from rwsstore.runtime.conversion import Conversion
from rwsstore.runtime.formats import FLOAT32, ComputeFormat
from rwsstore.runtime.splitting import Split, cut, works
from rwsstore.runtime.variant import CleanModel, Variant

_KEPT = 16
"""Cuts that are kept; patches of one model mostly touch the same layers."""

_CLOSE = {torch.float32: 1e-3, torch.bfloat16: 0.25}
"""Largest difference from float32, as a share of the largest logit, of a format that works."""

_CHUNK = 8
"""Images whose heads run side by side."""

_Group = tuple[Variant, int, int]  # with its first row, and the one behind its last


class Engine:
    """Predicts with variants of one clean model, each image with its own.

    Safe to call from any thread: what it keeps depends on nothing but the clean model, the format
    and the names of the tensors that patches touch.

    Attributes:
        compute: the format.
        conversion: the model in the format; None in float32, and before the first prediction.

    Raises:
        ConfigError: the model cannot be put into that format.
    """

    def __init__(self, clean: CleanModel, compute: ComputeFormat = FLOAT32) -> None:
        if compute != FLOAT32 and clean.sharing.reaches_around:
            raise ConfigError(
                f"this model holds layers otherwise than as submodules: it computes in "
                f"{FLOAT32.name} only, not in {compute.name}"
            )
        self.compute = compute
        self._clean = clean
        self._lock = threading.RLock()
        self.conversion: Conversion | None = None
        self._whole: Split | None = None
        self._ready = compute == FLOAT32
        self._found: WeakKeyDictionary[nn.Module, tuple[Split, tuple[nn.Module, ...]]] = (
            WeakKeyDictionary()
        )
        self._splits = LruCache[frozenset[str], Split | None](_KEPT)

    @torch.inference_mode()
    def predict(self, images: Tensor, variants: Sequence[Variant]) -> Tensor:
        """Predict, each image with a variant of its own; `LiveModel.predict_mixed` says how.

        Images with the same patch set go through its head together, all of them through the rest.
        Where the network cannot be cut, each variant runs whole.
        """
        if len(variants) != len(images) or not variants:
            raise ConfigError(
                f"{len(images)} images with {len(variants)} variants; expected one for each image"
            )
        if not self._ready:
            self._get_ready(images)
        if self.compute.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        groups, order = _groups(variants)
        if len(groups) == 1:
            return self._run(variants[0], images).float()
        if order is None:
            return self._run_groups(groups, images).float()
        found = self._run_groups(groups, images[order]).float()
        return torch.empty_like(found).index_copy_(0, order.to(found.device), found)

    @torch.inference_mode()
    def prepare(self, variant: Variant) -> None:
        """Put a variant into the format now, if the model is in it; else `predict` does."""
        if self.conversion is not None:
            variant.converted(self.conversion)

    @torch.inference_mode()
    def bound(self, variant: Variant) -> ValueRange:
        """Bound the logits that a variant can give for any image; `UNBOUNDED` if it is not known.

        What is bounded overflows in no format.
        """
        with self._lock:
            bounds = self._bounds
        return bounds.logits((variant.sources[one], alpha) for one, alpha in variant.patches)

    def _run(self, variant: Variant, images: Tensor) -> Tensor:
        module = self._module(variant)
        if self._whole is not None:
            return self._whole.whole(module, images)
        logits: Tensor = module(images)
        return logits

    def _run_groups(self, groups: Sequence[_Group], images: Tensor) -> Tensor:
        touched = frozenset().union(*(variant.touched for variant, _, _ in groups))
        with self._lock:
            split = self._splits.find(touched, partial(self._cut, touched, images))
        if split is None:
            parts = [self._run(variant, images[start:stop]) for variant, start, stop in groups]
            return torch.cat(parts)
        root = self._clean.module if self.conversion is None else self.conversion.root
        entering = split.root(root, images)
        if split.layers is None:
            heads = [
                split.head(self._module(variant), *(value[start:stop] for value in entering))
                for variant, start, stop in groups
            ]
        else:
            heads = [self._run_chunk(split, root, chunk, entering) for chunk in _chunks(groups)]
        crossing = heads[0] if len(heads) == 1 else map(torch.cat, zip(*heads, strict=True))
        return split.trunk(root, *crossing)

    def _run_chunk(
        self, split: Split, root: nn.Module, groups: Sequence[_Group], entering: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        first, last = groups[0][1], groups[-1][2]
        sizes = [stop - start for _, start, stop in groups]
        apart = zip(*(self._layers(variant, split) for variant, _, _ in groups), strict=True)
        parts = [(layers, sizes) for layers in apart]
        assert split.mixed_head is not None  # noqa: S101  (there are layers)
        return split.mixed_head(root, *parts, *(value[first:last] for value in entering))

    def _layers(self, variant: Variant, split: Split) -> tuple[nn.Module, ...]:
        """Those of the variant that the split names."""
        module = self._module(variant)
        known = self._found.get(module)
        if known is None or known[0] is not split:
            found = tuple(map(module.get_submodule, split.layers or ()))
            known = self._found[module] = split, found
        return known[1]

    def _module(self, variant: Variant) -> nn.Module:
        if self.conversion is None:
            return variant.module
        return variant.converted(self.conversion)

    def _cut(self, touched: frozenset[str], images: Tensor) -> Split | None:
        graph = self._graph
        if graph is None:
            return None
        if self.conversion is None:  # float32 is the reference: plain operations of torch
            model, found = self._clean.module, cut(graph, touched)
        else:
            model = self.conversion.root
            found = cut(graph, touched, compiled_for=model)
        return found if found is not None and works(found, model, _pair(images)) else None

    @cached_property
    def _graph(self) -> Graph | None:
        """The operations of the model; None where it cannot be traced."""
        try:
            graph = Graph(self._clean.module)
        except ConfigError:
            return None
        if self.compute != FLOAT32:
            graph.leave_out_identities()
        return graph

    @cached_property
    def _bounds(self) -> Bounds:
        return Bounds(self._graph)

    def _get_ready(self, images: Tensor) -> None:
        """Put the clean model into the format."""
        with self._lock:
            if self._ready:
                return
            clean, probe, graph = self._clean.module, _pair(images), self._graph
            shapes = _input_shapes(clean, probe)  # refuses images that do not fit
            conversion = Conversion(clean, self.compute, shapes)
            self._check(conversion.root, probe)
            root = conversion.root
            whole = None if graph is None else cut(graph, (), compiled_for=root)
            if whole is not None and works(whole, root, probe):
                self._whole = whole
            self.conversion, self._ready = conversion, True

    def _check(self, converted: nn.Module, probe: Tensor) -> None:
        """Refuse a format in which the model cannot be computed, or gives other logits."""
        wanted = self._clean.module(probe)
        try:
            found = converted(probe).float()
        except Exception as error:  # a user's forward may raise anything
            raise ConfigError(
                f"the model cannot be computed in {self.compute.name}: {error}"
            ) from error
        apart = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6))
        if not apart <= _CLOSE[self.compute.dtype]:
            raise ConfigError(
                f"in {self.compute.name} the model's logits are {apart:.0%} of the largest away "
                f"from those in {FLOAT32.name}"
            )


def _groups(variants: Sequence[Variant]) -> tuple[list[_Group], Tensor | None]:
    """Each variant with its place among the rows, once those of each lie side by side.

    Returns:
        The groups, and the numbers of the rows in that order; None where it is theirs already.
    """
    rows: dict[int, list[int]] = {}
    for row, variant in enumerate(variants):
        rows.setdefault(id(variant), []).append(row)
    groups, order = list[_Group](), list[int]()
    for own in rows.values():
        groups.append((variants[own[0]], len(order), len(order) + len(own)))
        order += own
    return groups, None if order == list(range(len(order))) else torch.tensor(order)


def _chunks(groups: Sequence[_Group]) -> Iterator[Sequence[_Group]]:
    """Some groups at a time, so that what they compute stays in the cache; of no group a part."""
    chunk: list[_Group] = []
    for group in groups:
        if chunk and group[2] - chunk[0][1] > _CHUNK:
            yield chunk
            chunk = []
        chunk.append(group)
    yield chunk


def _pair(images: Tensor) -> Tensor:
    """Two images to try things on."""
    return images[:1].expand(2, *images.shape[1:])


def _input_shapes(model: nn.Module, images: Tensor) -> dict[str, tuple[int, ...]]:
    """What shape each convolution gets for a batch like this."""
    shapes: dict[str, tuple[int, ...]] = {}
    hooks = []
    for name, module in model.named_modules():
        if is_convolution(module):

            def note(_module: nn.Module, given: tuple[Tensor, ...], name: str = name) -> None:
                shapes[name] = tuple(given[0].shape)

            hooks.append(module.register_forward_pre_hook(note))
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return shapes
