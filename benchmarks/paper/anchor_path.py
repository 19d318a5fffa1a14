"""A small network's way from a task without labels to the classes, with three anchors on it.

Pre-training without labels asks which way is up (Gidaris et al., ICLR 2018): every image is turned
by a multiple of 90 degrees, and the network says by which. The first four logits stand for the four
turns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.paper.settings import AnchorsSettings
from benchmarks.paper.study import Study
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.files import make_folders, write_atomic
from rwsstore.making import signature
from rwsstore.models import build, fold_batchnorm, ordered_layers
from rwsstore.training import CleanRecipe, Recipe, fit

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
        model: nn.Module = getattr(self, name)
        return model


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
    # The turns' logits would be a head start for the first four classes.
    last = ordered_layers(pretrained)[-1].parameters
    fresh = build(spec, seed=study.settings.seed + 1).state_dict()
    pretrained.load_state_dict({**pretrained.state_dict(), **{name: fresh[name] for name in last}})
    early = _early(study, settings, pretrained)
    clean = study.trained("anchors-clean", CleanRecipe(), pretrained, settings.clean)
    return AnchorPath(pretrained, early, clean)


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


TURNS = 4


def turned(images: Tensor) -> tuple[Tensor, Tensor]:
    """Turn image i of a batch by i mod 4 quarter turns.

    The authors show each image in all four turns at once; here a quarter as many a step, which an
    epoch's random order makes up for.

    Args:
        images: square, [B, 3, S, S].

    Returns:
        (images of the same shape, int64 [B] in 0..3).
    """
    turns = torch.arange(len(images)) % TURNS
    result = images.clone()
    for turn in range(1, TURNS):
        result[turn::TURNS] = images[turn::TURNS].rot90(turn, (2, 3))
    return result, turns


def turned_set(images: ImageSet) -> ImageSet:
    """The same for a whole set, the turns in place of the classes.

    Raises:
        ConfigError: there are fewer than four classes, so that a network has too few logits.
    """
    if len(images.classes) < TURNS:
        raise ConfigError(
            f"{len(images.classes)} classes; pre-training on quarter turns needs a network with "
            f"{TURNS} logits or more"
        )
    pictures, turns = turned(images.images)
    return replace(images, images=pictures, labels=turns, name=f"{images.name}, turned")


class RotationRecipe(Recipe):
    """Training on quarter turns, made of each batch after crop and flip; labels are not used."""

    name = "rotation"

    def show(self, images: Tensor, indices: Tensor, seed: int) -> Tensor:  # noqa: ARG002  # as they are
        """The images as they are; they are turned in the loss, which knows by how much."""
        return images

    def loss(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,  # noqa: ARG002  # that is the point
        smoothing: float,
    ) -> Tensor:
        """Cross-entropy of the turns."""
        pictures, turns = turned(images)
        return F.cross_entropy(model(pictures).float(), turns, label_smoothing=smoothing)
