"""Running a model again after one of its parameters changed: only what depends on it.

What the later steps read of the earlier ones is computed once and kept; a change then costs the
steps after it. Where the change lies in one output channel of a convolution or linear layer, as
every flip of one weight does, that channel alone is followed until the next layers mix it into
all others, and to those layers' outputs only the difference is added.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from rwsstore.errors import ConfigError
from rwsstore.probes.bitflips.memory import Damage, changed, tensor_of
from rwsstore.probes.bitflips.stream import Steps, Stream, find_stream

Rerun = Callable[[Damage], Tensor]
"""Logits [B, C] of one batch; the change is in the model while it is called."""

_Way = Callable[[str, Tensor], Rerun]

_TOLERANCE = 1e-4
_TRIED = 8
"""Images on which a way is tried before it is taken."""


class Replay:
    """Finds for each parameter what has to be run again when it changes.

    Args:
        model: a copy to work on, in evaluation mode. One that cannot be traced is run whole.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        try:
            self._steps: Steps | None = Steps(model)
        except ConfigError:
            self._steps = None
        self._ways: dict[tuple[int, ...], _Way] = {}

    def place(self, parameter: str) -> tuple[int, ...]:
        """Where the forward pass reads a parameter; of equal places the same is kept.

        Returns:
            Numbers of the steps; (−1,) if the model is run whole.
        """
        if self._steps is None:
            return (-1,)
        return tuple(self._steps.nodes.index(node) for node in self._steps.readers((parameter,)))

    def on(self, parameter: str, images: Tensor) -> Rerun:
        """Prepare to run a batch again and again, with changes of parameters of one place.

        Args:
            parameter: one of that place.
            images: float32 [B, 3, H, W] in [0, 1].
        """
        place = self.place(parameter)
        if place not in self._ways:
            self._ways[place] = self._first_fit(parameter, images[:_TRIED])
        return self._ways[place](parameter, images)

    def whole(self, parameter: str, images: Tensor) -> Rerun:  # noqa: ARG002
        """Run the whole model each time: the naive way, which the others have to equal."""

        def rerun(change: Damage) -> Tensor:  # noqa: ARG001
            logits: Tensor = self._model(images)
            return logits

        return rerun

    def _first_fit(self, parameter: str, images: Tensor) -> _Way:
        """The fastest way that gives what the whole model gives, tried on a few images.

        A way fails where a step modifies in place what was kept, or does what no trace shows.
        """
        if self._steps is None:
            return self.whole
        steps = self._steps
        stream = find_stream(steps, steps.readers((parameter,)))
        whole = self.whole(parameter, images)
        for chosen in (stream, None) if stream is not None else (None,):
            way = partial(_cut, steps, chosen)
            with suppress(Exception):  # a user's forward may raise anything
                if self._agree(way(parameter, images), whole, parameter):
                    return way
        return self.whole

    def _agree(self, rerun: Rerun, whole: Rerun, parameter: str) -> bool:
        flat = tensor_of(self._model, parameter).view(-1)
        nothing = Damage(parameter, 0, flat[:1].clone())
        one = Damage(parameter, 0, flat[:1] + 1)
        for change in (nothing, one, nothing):
            with changed(self._model, change):
                if not _alike(rerun(change), whole(change)):
                    return False
        return True


def _cut(steps: Steps, stream: Stream | None, parameter: str, images: Tensor) -> Rerun:
    return _Cut(steps, stream, parameter, images).rerun


class _Cut:
    """One batch's values on the way from what a change cannot reach to what it can."""

    def __init__(self, steps: Steps, stream: Stream | None, parameter: str, images: Tensor) -> None:
        again = steps.after(steps.readers((parameter,)))
        self._steps, self._stream = steps, stream
        self._again = [node for node in again if stream is None or node not in stream.steps]
        needed = {source for node in self._again for source in node.all_input_nodes}
        needed = needed.difference(again)
        if steps.output not in again:  # no answer depends on it
            needed.add(steps.output)
        if stream is not None:
            needed |= stream.needed
        self._kept: dict[fx.Node, Any] = {steps.images: images}
        steps.run(steps.before(needed), self._kept, needed)

    def rerun(self, change: Damage) -> Tensor:
        """Run what depends on the changed parameter."""
        values = dict(self._kept)
        if self._stream is not None:
            values |= self._stream.values(self._kept, change)
        self._steps.run(self._again, values, (self._steps.output,))
        logits: Tensor = values[self._steps.output]
        return logits


def _alike(found: Tensor, expected: Tensor) -> bool:
    largest = float(expected.abs().max())
    return found.shape == expected.shape and bool(
        torch.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE * largest)
    )
