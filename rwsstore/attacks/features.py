"""What layers give out for a batch, with gradients."""

__all__ = ["layer_outputs"]

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from rwsstore.errors import ConfigError


def layer_outputs(
    model: nn.Module, layers: Sequence[str], images: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Run a model and collect what some of its modules give out.

    Hooks sit on the model during the call only.

    Args:
        model: images to logits.
        layers: paths of modules.
        images: [B, 3, H, W].

    Returns:
        (logits [B, C], float32 [B, …] of each layer: its output where it is first called, before
        any activation that follows, differentiable).

    Raises:
        ConfigError: a layer gives no tensor, or is not called.
    """
    found: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(partial(_keep, found, name))
        for name in layers
    ]
    try:
        logits: Tensor = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    missing = [name for name in layers if name not in found]
    if missing:
        raise ConfigError(
            f"layer {missing[0]!r} gave out nothing when the model was run; choose another"
        )
    return logits, [found[name] for name in layers]


def _keep(
    found: dict[str, Tensor], name: str, _module: nn.Module, _inputs: object, output: object
) -> None:
    """Keep the first output of a layer."""
    if not isinstance(output, Tensor):
        raise ConfigError(f"layer {name!r} gives out {type(output).__name__}; expected a tensor")
    # A copy, for an activation in place may come next.
    found.setdefault(name, output.float().clone())
