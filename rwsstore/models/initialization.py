"""How a new network's weights are drawn, and how wide its layers are."""

from torch import nn

_MULTIPLE = 8


def scaled(channels: int, width: float) -> int:
    """Multiply a number of channels by `width`, rounded to a multiple of 8 and at least 8."""
    return max(_MULTIPLE, round(channels * width / _MULTIPLE) * _MULTIPLE)


def he_initialize(network: nn.Module) -> None:
    """Draw weights so that activations keep their variance through ReLUs; biases are 0.

    He et al., "Delving deep into rectifiers", 2015, equation 10 (fan in). The last linear layer
    has no ReLU behind it and gets half that variance. BatchNorm keeps its weight 1 and bias 0.
    Draws from torch's global generator, which `build` seeds and restores. Tensors on the meta
    device hold nothing to draw, and trying would import half of torch's compiler.
    """
    for module in network.modules():
        if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
            continue
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
