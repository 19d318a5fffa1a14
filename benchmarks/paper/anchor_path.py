"""A small network's way from a task without labels to the classes, with three anchors on it."""

__all__ = [
    "ANCHORS",
    "PROJECTED",
    "UNPROJECTED",
    "WHOLE",
    "AnchorPath",
    "differences",
    "train_path",
]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from benchmarks.paper.rotation import RotationRecipe, turned_set
from benchmarks.paper.settings import AnchorsSettings
from benchmarks.paper.study import Study
from rwsstore.files import make_folders, write_atomic
from rwsstore.making import signature
from rwsstore.models import Classifier, build, fold_batchnorm, ordered_layers
from rwsstore.training import CleanRecipe, fit

Weights = Mapping[str, Tensor]

ANCHORS = {"pretrained": "1: pre-trained", "clean": "2: the clean model", "early": "3: early"}
"""Names of the anchors, numbered as in docs/use/signatures.md."""

PROJECTED, UNPROJECTED, WHOLE = "RWS (projected)", "v_c (not projected)", "θ_c − θ_std"
"""Three differences that could be the patch."""


@dataclass(frozen=True, eq=False)
class AnchorPath:
    """Three points of one training.

    Attributes:
        pretrained: θ_pre, folded, its last layer new.
        early: after the first epochs on the classes.
        clean: θ_std, the end.
    """

    pretrained: nn.Module
    early: nn.Module
    clean: nn.Module

    def anchor(self, name: str) -> nn.Module:
        """θ_init by its name in `ANCHORS`."""
        return {"pretrained": self.pretrained, "clean": self.clean, "early": self.early}[name]


def train_path(study: Study, settings: AnchorsSettings) -> AnchorPath:
    """Pre-train, fold, train on the classes, and keep the early checkpoint on the way."""
    plain = {"width": settings.width, "batch_norm": True, "folded": False}
    spec = study.clean.spec.model_copy(update=plain)
    upright = replace(study, validation=turned_set(study.validation))
    turning = upright.trained(
        "anchors-rotation",
        RotationRecipe(),
        build(spec, seed=study.settings.seed),
        settings.pretraining,
    )
    pretrained = fold_batchnorm(turning)
    _renew_last_layer(pretrained, build(spec, seed=study.settings.seed + 1))
    early = _early(study, settings, pretrained)
    clean = study.trained("anchors-clean", CleanRecipe(), pretrained, settings.clean)
    return AnchorPath(pretrained, early, clean)


def _renew_last_layer(model: nn.Module, fresh: Classifier) -> None:
    """The turns' logits would be a head start for the first four classes."""
    last = ordered_layers(model)[-1].parameters
    model.load_state_dict({**model.state_dict(), **{n: fresh.state_dict()[n] for n in last}})


def _early(study: Study, settings: AnchorsSettings, pretrained: nn.Module) -> nn.Module:
    """The clean run's early checkpoint; the run itself goes on from there, if it has not begun."""
    make_folders(study.work)
    kept = study.work / "anchors-early.state"
    result = fit(
        pretrained,
        CleanRecipe(),
        study.train,
        study.validation,
        settings.clean,
        label="anchors-early",
        state_file=kept,
        mode=study.mode(pretrained, settings.clean),
        stop_after=settings.early,
        progress=study.progress,
    )
    finished, going = (study.work / f"anchors-clean.{end}" for end in ("safetensors", "state"))
    if not finished.exists() and not going.exists():
        write_atomic(going, kept.read_bytes())
    return result.model


def differences(
    names: Sequence[str], clean: Weights, robust: Weights, anchor: Weights
) -> dict[str, dict[str, Tensor]]:
    """What could be the patch: RWS, v_c = θ_c − θ_init, and θ_c − θ_std; float64 by tensor name.

    Where the anchor is the clean model all three are the same.
    """
    return {
        PROJECTED: signature(names, clean=clean, robust=robust, anchor=anchor),
        UNPROJECTED: signature(names, clean=anchor, robust=robust, anchor=None),
        WHOLE: signature(names, clean=clean, robust=robust, anchor=None),
    }
