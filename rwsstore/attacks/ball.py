"""The budget of an attack: an L∞ or L2 ball around each image, cut to the box [0, 1]."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from rwsstore.errors import ConfigError

Norm = Literal["linf", "l2"]

_ROUNDING = 1e-6


@dataclass(frozen=True)
class Ball:
    """All images within ε of an image, and within [0, 1].

    Attributes:
        epsilon: the radius, in units of [0, 1] images, above 0. For `linf` the largest change of
            any value, at most 1; for `l2` the Euclidean norm of the change over the whole image.
        norm: which of the two.

    Raises:
        ConfigError: a radius out of its range, or another norm.
    """

    epsilon: float
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise ConfigError(f"norm is {self.norm!r}; expected 'linf' or 'l2'")
        limit = 1.0 if self.norm == "linf" else math.inf
        if not (0 < self.epsilon <= limit and math.isfinite(self.epsilon)):
            expected = "at most 1" if self.norm == "linf" else "finite"
            raise ConfigError(
                f"epsilon is {self.epsilon!r}; expected a number above 0 and {expected}, in units "
                "of images in [0, 1] (8/255, not 8)"
            )

    def check_image(self, values: int) -> None:
        """Refuse a radius that is longer than the diagonal of the box.

        Args:
            values: numbers in one image, 3·H·W.

        Raises:
            ConfigError: no image of that size can be that far from another.
        """
        if self.norm == "l2" and self.epsilon > math.sqrt(values):
            raise ConfigError(
                f"epsilon is {self.epsilon!r}; images of {values} values in [0, 1] are at most "
                f"{math.sqrt(values):.4g} apart in L2"
            )

    def sample(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Draw changes evenly from the ball, without the box.

        Args:
            shape: [B, 3, H, W].
            generator: where the numbers come from.

        Returns:
            float32 [B, 3, H, W] on the generator's device.
        """
        device = generator.device
        if self.norm == "linf":
            return self.epsilon * (2 * torch.rand(shape, generator=generator, device=device) - 1)
        directions = unit_l2(torch.randn(shape, generator=generator, device=device))
        shares = torch.rand(shape[0], generator=generator, device=device)
        radii = self.epsilon * shares ** (1 / math.prod(shape[1:]))
        return directions * radii.view(-1, 1, 1, 1)

    def direction(self, gradients: Tensor) -> Tensor:
        """Turn gradients into steps of length 1 that raise the loss most: sign(g), or g/‖g‖₂.

        Args:
            gradients: float32 [B, 3, H, W]; where an image's is zero, so is its step.
        """
        return gradients.sign() if self.norm == "linf" else unit_l2(gradients)

    def project(self, images: Tensor, origins: Tensor) -> Tensor:
        """Bring images back into the ball around their origins, then into [0, 1].

        Args:
            images: float32 [B, 3, H, W].
            origins: in [0, 1], of the same shape.
        """
        change = images - origins
        if self.norm == "linf":
            change = change.clamp(-self.epsilon, self.epsilon)
        else:
            lengths = per_image(_lengths(change))
            change = change * (self.epsilon / lengths.clamp(min=self.epsilon))
        return (origins + change).clamp(0, 1)

    def step(
        self, images: Tensor, gradients: Tensor, size: float | Tensor, origins: Tensor
    ) -> Tensor:
        """Go `size` along the direction of the gradients, and back into the budget."""
        return self.project(images + size * self.direction(gradients), origins)

    def holds(self, images: Tensor, origins: Tensor) -> Tensor:
        """Tell which images are within ε and within [0, 1], but for float32 rounding; bool [B]."""
        change = (images - origins).flatten(1).double()
        if self.norm == "linf":
            sizes, slack = change.abs().amax(1), _ROUNDING
        else:
            sizes = torch.linalg.vector_norm(change, dim=1)
            slack = _ROUNDING * (self.epsilon + math.sqrt(change.shape[1]) / 16)
        inside = ((images >= 0) & (images <= 1)).flatten(1).all(1)
        return inside & (sizes <= self.epsilon + slack)


def unit_l2(values: Tensor) -> Tensor:
    """Scale each image of a batch to Euclidean norm 1; zeros stay zeros.

    The largest value is divided out first: gradients of a network that is sure of itself are so
    small that their squares are 0 in float32.
    """
    largest = per_image(values.flatten(1).abs().amax(1))
    scaled = torch.where(largest > 0, values / largest, 0.0)
    return scaled / per_image(_lengths(scaled)).clamp(min=1)


def per_image(values: Tensor) -> Tensor:
    """Shape one number an image, [B], so that it meets images: [B, 1, 1, 1]."""
    return values.view(-1, 1, 1, 1)


def _lengths(values: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1)
    return lengths
