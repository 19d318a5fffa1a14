"""Compute formats: in which arithmetic and layout a live model computes.

The weights of a patch set are float32, the same bits in every format; a format says what the
forward pass makes of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from rwsstore.errors import UnknownNameError

if TYPE_CHECKING:  # formats are listed where nothing is computed
    import torch


@dataclass(frozen=True)
class ComputeFormat:
    """How the forward pass is computed.

    Attributes:
        name: what it is called in settings and cards.
        bf16: whether weights and activations are bfloat16; logits are float32 all the same.
        channels_last: whether activations lie with their channels innermost.
        packed: whether convolution weights are put once, not at every call, into the order that
            the processor's convolutions read them in.
    """

    name: str
    bf16: bool = False
    channels_last: bool = False
    packed: bool = False

    @property
    def dtype(self) -> "torch.dtype":
        """Of weights and activations."""
        import torch

        return torch.bfloat16 if self.bf16 else torch.float32


FLOAT32 = ComputeFormat("float32")
"""The network's own operations as they stand: what the other formats are measured against."""

FORMATS: Mapping[str, ComputeFormat] = MappingProxyType(
    {
        one.name: one
        for one in (
            FLOAT32,
            ComputeFormat("packed", packed=True),
            ComputeFormat("packed_channels_last", channels_last=True, packed=True),
            ComputeFormat("bf16", bf16=True, packed=True),
            ComputeFormat("bf16_channels_last", bf16=True, channels_last=True, packed=True),
        )
    }
)
"""Every format by name; the first is the plain one."""


def compute_format(name: str) -> ComputeFormat:
    """Find a format by name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in FORMATS:
        raise UnknownNameError("compute format", name, FORMATS)
    return FORMATS[name]
