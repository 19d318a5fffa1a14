"""From a robust counterpart to the patch of its shallowest layers."""

__all__ = ["cut"]

from torch import nn

from benchmarks.paper.study import Study
from rwsstore.making import signature
from rwsstore.models import shallowest
from rwsstore.patches import Patch, identify, make_patch


def cut(study: Study, corruption: str, robust: nn.Module, *, layers: int, bits: int) -> Patch:
    """The signature of the shallowest layers, with the clean model as the anchor: θ_c − θ_std.

    Args:
        study: whose clean model it belongs to.
        corruption: that the counterpart was trained for.
        robust: θ_c, trained from the clean model.
        layers: how many of the shallowest layers.
        bits: a weight.

    Raises:
        ConfigError: the model has fewer layers.
    """
    chosen = shallowest(study.clean, layers)
    clean = study.clean.state_dict()
    deltas = signature(
        [name for layer in chosen for name in layer.parameters],
        clean=clean,
        robust=robust.state_dict(),
        anchor=None,
    )
    return make_patch(
        kind="rws",
        name=corruption,
        model=identify(clean),
        layers=tuple(layer.name for layer in chosen),
        deltas=deltas,
        bits=bits,
        corruption=corruption,
        severity=study.settings.severity,
        dataset=study.train.name,
        anchor="clean",
        projected=False,
    )
