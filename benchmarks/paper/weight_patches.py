"""From a model that went on training to the patch of the difference."""

__all__ = ["bundled_patch", "difference"]

from torch import nn

from benchmarks.paper.study import Study
from rwsstore.models import ordered_layers
from rwsstore.patches import Kind, Patch, identify, make_patch


def difference(study: Study, trained: nn.Module, *, kind: Kind, bits: int) -> Patch:
    """θ_trained − θ_std on every tensor that changed.

    Args:
        study: whose clean model it belongs to.
        trained: the same network.
        kind: of the patch.
        bits: a weight.
    """
    clean, after = study.clean.state_dict(), trained.state_dict()
    deltas = {
        name: after[name].double() - tensor.double()
        for name, tensor in clean.items()
        if not tensor.equal(after[name])
    }
    layers = (layer for layer in ordered_layers(study.clean) if set(layer.parameters) & set(deltas))
    return make_patch(
        kind=kind,
        name=kind,
        model=identify(clean),
        layers=tuple(layer.name for layer in layers),
        deltas=deltas,
        bits=bits,
        dataset=study.train.name,
    )


def bundled_patch(study: Study, kind: Kind) -> Patch | None:
    """The patch of this kind that comes with the model; None where there is none."""
    found = study.store.list(kind=kind)
    return study.store.get(found[0].digest) if found else None
