"""The check that every stored or loaded network passes."""

__all__ = ["check_finite"]

from collections.abc import Mapping

from torch import Tensor

from rwsstore.errors import TensorError


def check_finite(state: Mapping[str, Tensor]) -> None:
    """Refuse NaN and infinity.

    Args:
        state: tensors by name; those that hold integers pass.

    Raises:
        TensorError: a tensor holds a number that is not finite; the first one is named.
    """
    for name, tensor in state.items():
        bad = int(tensor.numel() - tensor.isfinite().sum())
        if bad:
            raise TensorError(
                f"{name}: {bad} of {tensor.numel()} values are NaN or infinite; finite weights are "
                "expected. Train again, or use an earlier checkpoint."
            )
