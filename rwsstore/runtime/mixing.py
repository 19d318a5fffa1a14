"""Batches whose images want different patch sets: a head for each, one trunk for all."""

__all__ = ["Mixer"]

import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from rwsstore.errors import ConfigError
from rwsstore.runtime.splitting import Split, split_after
from rwsstore.runtime.variant import CleanModel, Variant

_KEPT = 16
"""Cuts that are kept; patches of one model mostly touch the same layers."""


class Mixer:
    """Predicts with several variants of one clean model in one batch.

    Safe to call from any thread: what it keeps are cuts, which depend on nothing but the network
    and the names of the tensors that patches touch.

    Args:
        clean: the clean model of the variants.
    """

    def __init__(self, clean: CleanModel) -> None:
        self._clean = clean
        self._lock = threading.Lock()
        self._splits: OrderedDict[frozenset[str], Split | None] = OrderedDict()

    @torch.inference_mode()
    def predict(self, images: Tensor, variants: Sequence[Variant]) -> Tensor:
        """Predict, each image with a variant of its own.

        Images with the same patch set go through its head together, then all of them through the
        trunk. One patch set for all gives the bits of the variant; several give what each variant
        alone gives for its images, but for the rounding of another batch. Where the network
        cannot be cut, each variant runs whole.

        Args:
            images: uint8 or floats in [0, 1]; [B, 3, H, W].
            variants: B of them, built from this clean model.

        Returns:
            Logits [B, C], in the order of the images.

        Raises:
            ConfigError: there are not as many variants as images, or no image.
        """
        if len(variants) != len(images) or not variants:
            raise ConfigError(
                f"{len(images)} images with {len(variants)} variants; expected one for each image"
            )
        groups = _groups(variants)
        if len(groups) == 1:
            return variants[0](images)
        split = self._split(groups, images)
        order = torch.cat([rows for _, rows in groups]).to(images.device)
        if split is None:
            found = torch.cat([variant(images[rows]) for variant, rows in groups])
        else:
            heads = [split.head(variant.module, images[rows]) for variant, rows in groups]
            joined = [torch.cat(values) for values in zip(*heads, strict=True)]
            found = split.trunk(self._clean.module, joined)
        return torch.empty_like(found).index_copy_(0, order, found)

    def _split(self, groups: Sequence[tuple[Variant, Tensor]], images: Tensor) -> Split | None:
        touched = frozenset(name for variant, _ in groups for name in variant.patched)
        with self._lock:
            if touched not in self._splits:
                probe = images[:1].expand(2, *images.shape[1:])
                self._splits[touched] = split_after(self._clean.module, touched, probe)
                if len(self._splits) > _KEPT:
                    self._splits.popitem(last=False)
            self._splits.move_to_end(touched)
            return self._splits[touched]


def _groups(variants: Sequence[Variant]) -> list[tuple[Variant, Tensor]]:
    """Each variant with its rows, int64, in the order in which they first occur."""
    rows: dict[int, list[int]] = {}
    for row, variant in enumerate(variants):
        rows.setdefault(id(variant), []).append(row)
    return [(variants[own[0]], torch.tensor(own)) for own in rows.values()]
