"""Golden logits: how a loader tells a patch that works from one that does nothing.

A probe batch is generated from a seed by SHAKE-256 and integer arithmetic alone, so that it is
the same to the bit on every machine and needs no data set's images. The logits of the clean and
of the patched model on it travel in the patch; a loader computes both again and compares.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rwsstore.errors import GoldenError

TOLERANCE = 1e-3
"""Largest difference of a logit, relative to the largest recorded logit (or 1 if that is less)."""

Predict = Callable[[Tensor], Tensor]

_CELLS = (1, 4, 8)


@dataclass(frozen=True, eq=False)
class Golden:
    """Logits on the probe batch, float32 [B, C]; `patched` with the patch at its recommended α."""

    clean: Tensor
    patched: Tensor


def probe_images(seed: int, count: int, size: int) -> Tensor:
    """Generate the probe batch: noise at three scales, averaged.

    Args:
        seed: any int64.
        count: number of images B.
        size: height and width in pixels.

    Returns:
        uint8 [B, 3, size, size].
    """
    total = torch.zeros(count, 3, size, size, dtype=torch.int32)
    for cell in _CELLS:
        cells = -(-size // cell)
        length = count * 3 * cells * cells
        key = f"rwsstore probe 1 {seed} {count} {size} {cell}".encode()
        noise = torch.frombuffer(
            bytearray(hashlib.shake_256(key).digest(length)), dtype=torch.uint8
        )
        grid = noise.to(torch.int32).reshape(count, 3, cells, cells)
        blocks = grid.repeat_interleave(cell, dim=2).repeat_interleave(cell, dim=3)
        total += blocks[:, :, :size, :size]
    return (total // len(_CELLS)).to(torch.uint8)


@torch.inference_mode()
def record_golden(clean: Predict, patched: Predict, probe: Tensor) -> Golden:
    """Record the logits of both models on the probe batch; see `check_golden`."""
    return Golden(_logits(clean, probe).clone(), _logits(patched, probe).clone())


@torch.inference_mode()
def check_golden(golden: Golden, clean: Predict, patched: Predict, probe: Tensor) -> None:
    """Compare both models with what was recorded.

    The patched model's logits have to be near the recorded ones, and nearer to these than to the
    clean model's: so a patch whose effect is below the tolerance is told from none as well.

    Args:
        golden: what was recorded.
        clean: the clean model, images to logits [B, C].
        patched: the same with the patch at its recommended α.
        probe: uint8 [B, 3, H, W], the batch that was recorded on.

    Raises:
        GoldenError: the recorded patch changes no logit; a logit differs by more than
            `TOLERANCE` from the recorded one; or the patch does not change this model.
    """
    if torch.equal(golden.clean, golden.patched):
        raise GoldenError("the patch changes no logit of its own probe batch: it does nothing")
    _compare("clean model", golden.clean, _logits(clean, probe))
    found = _logits(patched, probe)
    _compare("patched model", golden.patched, found)
    if not _distance(found, golden.patched) < _distance(found, golden.clean):
        raise GoldenError(
            "with the patch on, the logits on the probe batch are those recorded without it: "
            "it does nothing here"
        )


def _logits(model: Predict, probe: Tensor) -> Tensor:
    return model(probe).float().cpu()


def _distance(left: Tensor, right: Tensor) -> float:
    return float((left - right).abs().max())


def _compare(what: str, recorded: Tensor, found: Tensor) -> None:
    if found.shape != recorded.shape:
        raise GoldenError(
            f"the {what} gives logits of shape {tuple(found.shape)}, recorded were "
            f"{tuple(recorded.shape)}"
        )
    allowed = TOLERANCE * max(1.0, float(recorded.abs().max()))
    worst = _distance(found, recorded)
    if not worst <= allowed:  # NaN is not
        raise GoldenError(
            f"the {what}'s logits on the probe batch differ by {worst:.2g} from those recorded in "
            f"the patch (allowed {allowed:.2g}): this is not the model, or not the patch, that was "
            "measured"
        )
