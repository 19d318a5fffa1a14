"""Variants: the clean model with one patch set on it, their digests, and those kept for reuse."""

import copy
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property, partial
from types import MethodType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rwsstore.canonical import Digest, canonical_json, sha256_hex
from rwsstore.errors import TensorError
from rwsstore.patches import ModelIdentity, Patch, PatchSet, identify
from rwsstore.runtime.building import BufferLayout, Builder

if TYPE_CHECKING:  # it is made of what is here
    from rwsstore.runtime.conversion import Conversion


def state_digest(clean_weights: Digest, patches: PatchSet) -> Digest:
    """Hash the clean weights fingerprint and the (patch digest, α) pairs, by digest.

    The hashed text is canonical JSON, `{"clean":"…","patches":[["…",0.8],…]}`, with each α as the
    shortest decimal that reads back to the same float64.
    """
    document = {
        "clean": clean_weights,
        "patches": [[digest, float(alpha)] for digest, alpha in patches],
    }
    return sha256_hex(canonical_json(document).encode())


_OWN_ATTRIBUTES = frozenset(vars(nn.Module()))


class Sharing:
    """Makes modules that compute with other tensors than a model's and share all the rest.

    Args:
        model: whose tensors are shared; it must stay as it is, for it is looked at only once.

    Attributes:
        ties: whether two names stand for one tensor.
        reaches_around: whether a module holds others otherwise than as its children.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parameters = dict(model.named_parameters(remove_duplicate=False))
        self.ties = len(set(map(id, self._parameters.values()))) < len(self._parameters)
        self.reaches_around = any(
            _holds_module(value)
            for module in model.modules()
            for name, value in vars(module).items()
            if name not in _OWN_ATTRIBUTES
        )
        self._below = {
            id(module): frozenset(map(id, module.parameters())) for module in model.modules()
        }

    def with_tensors(self, replacements: Mapping[str, Tensor]) -> nn.Module:
        """Make a module that computes with other tensors.

        Only the modules on the way to a replaced tensor are copied, and only their Python
        objects; a tensor that several places of the network share stays shared. Where a module
        reaches others by plain attributes (a list of them, a bound method), all modules are
        copied, so that none computes with the old tensors.

        Raises:
            KeyError: the model has no parameter of such a name.
            TensorError: as `check_tied`.
        """
        if self.ties:
            self.check_tied(replacements)
        new = {
            id(self._parameters[name]): nn.Parameter(tensor, requires_grad=False)
            for name, tensor in replacements.items()
        }
        if self.reaches_around:
            tensors = [*self._model.parameters(), *self._model.buffers()]
            shared = {id(tensor): new.get(id(tensor), tensor) for tensor in tensors}
            return copy.deepcopy(self._model, shared)
        return self._copy_touched(self._model, new, {})

    def check_tied(self, replacements: Mapping[str, Tensor]) -> None:
        """Refuse different numbers for two names of one shared tensor, by a TensorError."""
        given: dict[int, Tensor] = {}
        for name, tensor in replacements.items():
            first = given.setdefault(id(self._parameters[name]), tensor)
            if first is not tensor and not torch.equal(first, tensor):
                raise TensorError(
                    f"{name!r} shares its numbers with another tensor, which is given different "
                    "ones"
                )

    def _copy_touched(
        self, module: nn.Module, new: Mapping[int, nn.Parameter], done: dict[int, nn.Module]
    ) -> nn.Module:
        if self._below[id(module)].isdisjoint(new):
            return module
        if id(module) not in done:
            children = {
                name: None if child is None else self._copy_touched(child, new, done)
                for name, child in module._modules.items()
            }
            parameters = {
                name: None if parameter is None else new.get(id(parameter), parameter)
                for name, parameter in module._parameters.items()
            }
            done[id(module)] = shell(module, children, parameters)
        return done[id(module)]


def _holds_module(value: object) -> bool:
    if isinstance(value, MethodType):
        return isinstance(value.__self__, nn.Module)
    if isinstance(value, partial):
        return any(map(_holds_module, (value.func, *value.args, *value.keywords.values())))
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        items: Iterable[object] = value
        return any(map(_holds_module, items))
    return isinstance(value, nn.Module)


def shell(
    module: nn.Module,
    children: dict[str, nn.Module | None],
    parameters: dict[str, nn.Parameter | None],
) -> nn.Module:
    """A module like another one, with other children and parameters of the same names."""
    # object.__new__ rather than the class: a GraphModule's __new__ makes a class of its own.
    copy: nn.Module = object.__new__(type(module))
    copy.__dict__.update(module.__dict__)
    copy.__dict__["_modules"] = children
    copy.__dict__["_parameters"] = parameters
    copy.__dict__["_buffers"] = dict(module._buffers)
    return copy


@dataclass(frozen=True, eq=False)
class CleanModel:
    """The clean model θ_std, frozen in evaluation mode; nothing ever writes to its tensors.

    Attributes:
        module: the network.
        state: its tensors by name, sharing their memory.
        identity: its fingerprints.
        sharing: makes the modules of its variants.
        builder: makes their tensors.
    """

    module: nn.Module
    state: Mapping[str, Tensor]
    identity: ModelIdentity
    sharing: Sharing
    builder: Builder

    @classmethod
    def of(cls, model: nn.Module) -> "CleanModel":
        """Freeze a copy of a model.

        Raises:
            TensorError: a weight is NaN or infinite, or a parameter is not float32.
        """
        module = copy.deepcopy(model).eval().requires_grad_(False)
        for name, parameter in module.named_parameters():
            if parameter.dtype != torch.float32:
                raise TensorError(f"parameter {name!r} is {parameter.dtype}; expected float32")
        state = module.state_dict()
        for name, tensor in state.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise TensorError(f"weights {name!r} hold NaN or infinity")
        return cls(module, state, identify(state), Sharing(module), Builder(state))


class Variant:
    """The clean model with one patch set on it; immutable, so it is safe to share.

    `build_variant` makes it. It holds the tensors that its patches touch once, in one form: as
    float32, or, from its first prediction in another compute format on, as that format has them.
    Where they are wanted as float32 again, they are built again: the same bits.

    Attributes:
        patches, transferred: as in `build_variant`.
        sources: the patches themselves, by digest.
        touched: names of the tensors that a patch touches.
        nbytes: of its own tensors, as float32.
    """

    def __init__(
        self,
        clean: CleanModel,
        patches: PatchSet,
        sources: Mapping[Digest, Patch],
        head: tuple[BufferLayout, Tensor] | None,
        transferred: tuple[Digest, ...],
    ) -> None:
        self.patches, self.sources, self.transferred = patches, sources, transferred
        self.touched = frozenset(head[0].names if head else ())
        self.nbytes = head[1].nbytes if head else 0
        self._clean, self._head = clean, head
        self._lock = threading.Lock()
        self._module = None if head else clean.module
        self._converted: tuple[Conversion, nn.Module] | None = None

    @property
    def patched(self) -> tuple[str, ...]:
        """Names of the tensors that a patch touches, in order."""
        return tuple(sorted(self.touched))

    @cached_property
    def digest(self) -> Digest:
        """The state digest."""
        return state_digest(self._clean.identity.clean_weights, self.patches)

    @property
    def names(self) -> dict[Digest, str]:
        """Each patch's name, by digest."""
        return {digest: patch.name for digest, patch in self.sources.items()}

    @property
    def resolved(self) -> tuple[tuple[str, Digest, float], ...]:
        """(name, digest, α) of what is added to the clean weights, in order."""
        return tuple((self.sources[digest].name, digest, a) for digest, a in self.patches)

    @property
    def module(self) -> nn.Module:
        """The network in float32; every tensor that no patch touches is the clean model's own."""
        with self._lock:
            return self._plain()

    def __call__(self, images: Tensor) -> Tensor:
        """Predict in float32: images [B, 3, H, W] to logits [B, C], in inference mode."""
        with torch.inference_mode():
            logits: Tensor = self.module(images)
        return logits

    def state(self) -> dict[str, Tensor]:
        """The tensors by name as float32; do not write to them, they may be what predicts."""
        return self.module.state_dict()

    def converted(self, conversion: "Conversion") -> nn.Module:
        """The network in another compute format; made once, and kept in place of the float32 one.

        Args:
            conversion: into that format. A variant is kept in one only.
        """
        kept = self._converted
        if kept is None or kept[0] is not conversion:
            with self._lock:
                kept = self._converted
                if kept is None or kept[0] is not conversion:
                    kept = self._converted = conversion, conversion.of(self._plain())
                    if self._head is not None:
                        self._head, self._module = None, None
        return kept[1]

    def in_use(self, conversion: "Conversion | None") -> nn.Module | None:
        """The network as `converted` made it; None where it computes in float32."""
        kept = self._converted
        return kept[1] if kept is not None and kept[0] is conversion else None

    def _plain(self) -> nn.Module:
        if self._module is not None:
            return self._module
        if self._head is not None:
            layout, buffer = self._head
            self._module = _module_of(self._clean, layout, buffer)
            return self._module
        return _module_of(self._clean, *self._clean.builder.build(self.patches, self.sources))


def build_variant(
    clean: CleanModel,
    patches: PatchSet,
    available: Mapping[Digest, Patch],
    transferred: tuple[Digest, ...] = (),
) -> Variant:
    """Put a patch set on the clean model.

    Args:
        clean: left as it is.
        patches: composed patches stand as their parts.
        available: the patches by digest, already checked to fit.
        transferred: digests of those that come from other clean weights.

    Raises:
        TensorError: the patched weights are not finite, or two names of one shared tensor are
            given different numbers.
    """
    sources = {digest: available[digest] for digest, _ in patches}
    head = clean.builder.build(patches, sources) if sources else None
    if head is not None and clean.sharing.ties:
        clean.sharing.check_tied(head[0].views(head[1]))
    return Variant(clean, patches, sources, head, transferred)


@torch.inference_mode(False)  # whoever asks first, gradients may be wanted through it later
def _module_of(clean: CleanModel, layout: BufferLayout, buffer: Tensor) -> nn.Module:
    tensors = layout.views(buffer)
    for name, tensor in tensors.items():
        like = clean.state[name]
        if not like.is_contiguous():  # channels last, say: patched tensors lie as the clean ones
            tensors[name] = torch.empty_like(like).copy_(tensor)
    return clean.sharing.with_tensors(tensors)


_Key = tuple[tuple[Digest, float], ...]


class Resident:
    """The variants used last; safe to use from any thread.

    Counted are the tensors that each variant holds for itself, and once each patch that any of
    them refers to: its file's bytes and its codes.

    Args:
        limit: most bytes; the variant used last stays even if it alone is larger.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._variants: OrderedDict[_Key, Variant] = OrderedDict()
        self._patches: Counter[Digest] = Counter()
        self._building: dict[_Key, Future[Variant] | None] = {}  # None: nobody waits for it
        self._nbytes = 0

    def __len__(self) -> int:
        return len(self._variants)

    @property
    def nbytes(self) -> int:
        """Bytes that are counted now."""
        return self._nbytes

    def find(self, patches: PatchSet, build: Callable[[], Variant]) -> Variant:
        """Find a variant, or build it; whoever asks for it meanwhile waits for this one.

        No lock is held while it is built. What that raises is told to all who wait; the next one
        who asks tries again.
        """
        key = patches.items
        with self._lock:
            found = self._variants.get(key)
            if found is not None:
                self._variants.move_to_end(key)
                return found
            waiting = None
            if key in self._building:
                waiting = self._building[key] or Future()
            self._building[key] = waiting
        if waiting is not None:
            return waiting.result()
        try:
            variant = build()
        except BaseException as error:
            with self._lock:
                waiting = self._building.pop(key)
            if waiting is not None:
                waiting.set_exception(error)
            raise
        with self._lock:
            waiting = self._building.pop(key)
            self._keep(key, variant)
        if waiting is not None:
            waiting.set_result(variant)
        return variant

    def _keep(self, key: _Key, variant: Variant) -> None:
        self._variants[key] = variant
        self._nbytes += variant.nbytes
        for digest, patch in variant.sources.items():
            self._patches[digest] += 1
            if self._patches[digest] == 1:
                self._nbytes += patch.memory_bytes
        while self._nbytes > self._limit and len(self._variants) > 1:
            _, dropped = self._variants.popitem(last=False)
            self._nbytes -= dropped.nbytes
            for digest, patch in dropped.sources.items():
                self._patches[digest] -= 1
                if not self._patches[digest]:
                    del self._patches[digest]
                    self._nbytes -= patch.memory_bytes
