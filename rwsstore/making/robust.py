"""From a clean model to a patch: train the counterpart, extract, quantize, measure."""

__all__ = ["extract_patch", "patch_recipe", "starting_point"]

import copy
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, TensorError
from rwsstore.making.evidence import probe_for
from rwsstore.making.options import ExtractionOptions
from rwsstore.making.projection import signature
from rwsstore.making.records import data_parameters, training_parameters
from rwsstore.making.robust_evidence import with_evidence
from rwsstore.models import shallowest, weights_fingerprint
from rwsstore.patches import (
    Patch,
    Recipe,
    identify,
    make_patch,
)
from rwsstore.progress import SILENT, Reporter
from rwsstore.training import RobustRecipe, fit


def patch_recipe(
    options: ExtractionOptions,
    train: ImageSet,
    validation: ImageSet,
    anchor: nn.Module | None = None,
) -> Recipe:
    """What a patch records of how it was made; equal options, images and anchor, equal recipes.

    Args:
        options: as in `extract_patch`.
        train: as in `extract_patch`.
        validation: as in `extract_patch`.
        anchor: as in `extract_patch`.
    """
    parameters = {
        "training_mode": options.training_mode,
        "layers": options.layers,
        **data_parameters(train, validation),
        **training_parameters(options.training),
    }
    if anchor is not None:
        parameters["anchor_weights"] = weights_fingerprint(anchor.state_dict())
    return Recipe(name="robust", seed=options.training.seed, parameters=parameters)


def extract_patch(
    clean: nn.Module,
    corruption: str,
    train: ImageSet,
    validation: ImageSet,
    options: ExtractionOptions,
    *,
    anchor: nn.Module | None = None,
    name: str | None = None,
    state_file: Path | None = None,
    mode: ComputeMode | None = None,
    progress: Reporter = SILENT,
) -> Patch:
    """Make the Robust Weight Signature patch of one corruption.

    Args:
        clean: the clean model θ_std, its BatchNorm folded; left as it is.
        corruption: its name.
        train: clean images; they are corrupted on the fly.
        validation: images that are not in `train`; the best epoch is chosen on them and the
            card measured.
        options: all parameters.
        anchor: θ_init where `options.anchor` is not "clean": the same network as `clean`.
        name: of the patch; the corruption's by default.
        state_file: where the training's state is kept, to go on after an interruption.
        mode: bf16 and channels_last for the training, or not.
        progress: where to report.

    Raises:
        ConfigError: options that contradict each other or the model.
        TensorError: the anchor is another network, or the training diverged.
        GoldenError: the patch does nothing.
    """
    if (anchor is None) != (options.anchor == "clean"):
        raise ConfigError(
            f"anchor {options.anchor!r} {'needs' if anchor is None else 'takes no'} model"
        )
    probe_for(validation, options.training.seed)  # refused before the training
    layers = shallowest(clean, options.layers)
    names = [parameter for layer in layers for parameter in layer.parameters]
    result = fit(
        starting_point(clean, anchor, names if options.training_mode == "shallow" else None),
        _recipe(corruption, options),
        train,
        validation,
        options.training,
        label=corruption,
        state_file=state_file,
        mode=mode,
        progress=progress,
    )
    patch = make_patch(
        kind="rws",
        name=name or corruption,
        model=identify(clean.state_dict()),
        layers=tuple(layer.name for layer in layers),
        deltas=signature(
            names,
            clean=clean.state_dict(),
            robust=result.model.state_dict(),
            anchor=None if anchor is None else anchor.state_dict(),
        ),
        bits=options.bits,
        corruption=corruption,
        severity=options.severity,
        dataset=train.name,
        recipe=patch_recipe(options, train, validation, anchor),
        anchor=options.anchor,
        projected=anchor is not None,
    )
    return with_evidence(clean, patch, validation, options, progress=progress)


def _recipe(corruption: str, options: ExtractionOptions) -> RobustRecipe:
    shallow = options.training_mode == "shallow"
    return RobustRecipe(corruption, options.severity, layers=options.layers if shallow else None)


def starting_point(
    clean: nn.Module, anchor: nn.Module | None, shallow: Sequence[str] | None
) -> nn.Module:
    """Where the training of a robust counterpart starts.

    Args:
        clean: θ_std.
        anchor: θ_init; None: the clean model itself.
        shallow: names of the tensors that train, where only these do: they start at θ_init, with
            the clean model's deep ones behind them. None: all train, and start at θ_init.

    Returns:
        One of the two models, or a new one.

    Raises:
        TensorError: the anchor lacks a tensor that it should give, or has it in another shape.
    """
    if anchor is None:
        return clean
    state, origin = clean.state_dict(), anchor.state_dict()
    for name in state if shallow is None else shallow:
        if name not in origin or origin[name].shape != state[name].shape:
            raise TensorError(
                f"the anchor has no tensor {name!r} like the clean model's: it is not the same "
                "network"
            )
    if shallow is None:
        return anchor
    start = copy.deepcopy(clean)
    start.load_state_dict({**state, **{name: origin[name] for name in shallow}})
    return start
