"""Patches that studies make themselves, of models that were trained further."""

from torch import Tensor, nn

from benchmarks.paper.study import Study
from rwsstore.making import signature
from rwsstore.models import ordered_layers, shallowest
from rwsstore.patches import Kind, Patch, identify, make_patch


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
    chosen, clean = shallowest(study.clean, layers), study.clean.state_dict()
    names = [name for layer in chosen for name in layer.parameters]
    return make_patch(
        kind="rws",
        name=corruption,
        model=identify(clean),
        layers=tuple(layer.name for layer in chosen),
        deltas=signature(names, clean=clean, robust=robust.state_dict(), anchor=None),
        bits=bits,
        corruption=corruption,
        severity=study.settings.severity,
        dataset=study.train.name,
        anchor="clean",
        projected=False,
    )


def difference(study: Study, trained: nn.Module, *, kind: Kind, bits: int) -> Patch:
    """θ_trained − θ_std on every tensor that changed."""
    clean, after = study.clean.state_dict(), trained.state_dict()
    deltas: dict[str, Tensor] = {
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
