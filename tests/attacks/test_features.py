import pytest
import torch
from torch import nn

from rwsstore.attacks.pgd import layer_outputs
from rwsstore.errors import ConfigError
from tests.attacks.making import noise


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.idle = nn.Conv2d(3, 2, 1)
        self.pool = nn.MaxPool2d(2, return_indices=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        once = self.conv(images)
        twice = self.conv(images + 1)
        pooled, _ = self.pool(once + twice)
        return torch.as_tensor(pooled.mean((2, 3)))


def test_the_first_call_counts_and_gradients_flow() -> None:
    model, images = Odd(), noise(2, 4).requires_grad_()
    logits, (found,) = layer_outputs(model, ["conv"], images)
    assert logits.shape == (2, 2)
    torch.testing.assert_close(found, model.conv(images))
    (gradient,) = torch.autograd.grad(found.sum(), images)
    assert float(gradient.abs().max()) > 0


def test_a_layer_that_is_not_called_is_refused() -> None:
    with pytest.raises(ConfigError, match="'idle' gave out nothing"):
        layer_outputs(Odd(), ["conv", "idle"], noise(1, 4))


def test_a_layer_without_a_tensor_is_refused_and_no_hook_stays() -> None:
    model = Odd()
    with pytest.raises(ConfigError, match="'pool' gives out tuple"):
        layer_outputs(model, ["conv", "pool"], noise(1, 4))
    assert not any(module._forward_hooks for module in model.modules())
