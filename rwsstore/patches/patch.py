"""A patch: a stored delta on some of a clean model's tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Self

from rwsstore.canonical import Digest, sha256_hex
from rwsstore.errors import ConfigError
from rwsstore.files import read_bounded, write_atomic
from rwsstore.patches.format import MAX_PATCH_BYTES, read_patch_bytes, write_patch_bytes
from rwsstore.patches.golden import Golden
from rwsstore.patches.metadata import GoldenProbe, PatchMetadata, RobustnessCard
from rwsstore.patches.quantization import Payload, check_bits, requantize


@dataclass(frozen=True, eq=False)
class Patch:
    """An immutable patch; equal content has equal bytes and an equal digest.

    Make one with `make_patch`, `compose`, `from_bytes` or `from_file`.

    Attributes:
        metadata: its description.
        tensors: the payload of each patched tensor, by the tensor's name; empty if composed.
        golden: its golden logits, where recorded.
        data: the exact bytes of its file.
    """

    metadata: PatchMetadata
    tensors: Mapping[str, Payload] = field(repr=False)
    golden: Golden | None = field(repr=False)
    data: bytes = field(repr=False)

    @classmethod
    def build(
        cls, metadata: PatchMetadata, tensors: Mapping[str, Payload], golden: Golden | None
    ) -> Self:
        """Make a patch of its pieces; it passes the same checks as one that is read."""
        return cls.from_bytes(write_patch_bytes(metadata, tensors, golden))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a patch from the bytes of its file.

        Raises:
            FormatError: they are not a patch file, or contradict themselves.
            TensorError: a number in them is not finite or out of range.
        """
        data = bytes(data)  # no copy of bytes; a bytearray could change under the digest
        metadata, tensors, golden = read_patch_bytes(data)
        return cls(metadata, MappingProxyType(tensors), golden, data)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a patch file; a MissingFileError where there is none, or as `from_bytes`."""
        return cls.from_bytes(read_bounded(path, limit=MAX_PATCH_BYTES, what="patch"))

    def to_bytes(self) -> bytes:
        """The exact bytes of its file."""
        return self.data

    def to_file(self, path: Path) -> None:
        """Write its file atomically."""
        write_atomic(path, self.data)

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of its file's bytes."""
        return sha256_hex(self.data)

    @property
    def name(self) -> str:
        """The name that it was given when it was made."""
        return self.metadata.name

    @property
    def parts(self) -> tuple[tuple[Digest, float], ...]:
        """(digest, α) of what a composed patch is made of; empty for any other."""
        return tuple((part.digest, part.alpha) for part in self.metadata.parts)

    @property
    def payload_bytes(self) -> int:
        """Bytes of codes, scales and float32 deltas, without header and golden logits."""
        return sum(payload.payload_bytes for payload in self.tensors.values())

    @property
    def file_bytes(self) -> int:
        """Bytes of its whole file."""
        return len(self.data)

    @cached_property
    def memory_bytes(self) -> int:
        """Bytes that it takes in memory: its file's, and its codes as they are decoded."""
        return self.file_bytes + sum(payload.memory_bytes for payload in self.tensors.values())

    def alpha_for(self, ta_loss: float) -> float:
        """Find a strength: see `PatchMetadata.alpha_for`."""
        return self.metadata.alpha_for(ta_loss)

    def at_bits(self, bits: int) -> "Patch":
        """Quantize again, to fewer bits.

        Card and golden logits are dropped: they were measured at the stored bits.

        Raises:
            ConfigError: `bits` is none of `BIT_WIDTHS`, is more than what is stored, or the patch
                is composed.
        """
        stored = self.metadata.bits
        check_bits(bits, stored)
        if stored is None:
            raise ConfigError(f"patch {self.name!r} is composed: quantize its parts")
        if bits == stored:
            return self
        tensors = {name: requantize(payload, bits) for name, payload in self.tensors.items()}
        widths = {name: payload.bits for name, payload in tensors.items()}
        metadata = self.metadata.revised(bits=bits, tensors=widths, card=None, golden=None)
        return Patch.build(metadata, tensors, None)

    def with_evidence(
        self, *, card: RobustnessCard | None, golden: Golden, probe: GoldenProbe
    ) -> "Patch":
        """Add what was measured on the clean model: the robustness card and golden logits.

        The card is TA and RA over α, where a labelled set was at hand; `probe` says how to
        generate the batch of the golden logits again.

        Raises:
            ConfigError: the patch is composed.
            FormatError, TensorError: the logits are not those of such a batch, or not finite.
        """
        metadata = self.metadata.revised(card=card, golden=probe)
        return Patch.build(metadata, self.tensors, golden)
