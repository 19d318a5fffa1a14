"""Models that went on training, the patches of their differences, and how studies see both."""

__all__ = ["Subject", "bundled_patch", "difference"]

from dataclasses import dataclass
from typing import Self

from torch import nn

from benchmarks.paper.study import Study
from rwsstore.models import ordered_layers
from rwsstore.patches import Kind, Patch, identify, make_patch


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that is measured.

    Attributes:
        study: that it is measured for.
        name: in the table.
        key: in the results.
        model: with its patch on, where it has one.
        payload: bytes of that patch; None: a whole model.
    """

    study: Study
    name: str
    key: str
    model: nn.Module
    payload: int | None = None

    @classmethod
    def patched(cls, study: Study, name: str, key: str, patch: Patch) -> Self:
        """The clean model with a patch on, at its recommended strength."""
        module = study.live([patch]).variant({patch.digest: None}).module
        return cls(study, name, key, module, patch.payload_bytes)

    @property
    def ta(self) -> float:
        """Accuracy with nothing done to it, in percent."""
        study = self.study
        return study.measure(f"{self.key}/ta", self.model, study.test.images, study.test.labels)


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
