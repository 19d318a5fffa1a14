"""From a recipe to a published patch: train, subtract, quantize, measure, publish."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from rwsstore.corruptions.registry import find_corruption
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, UnknownPatchError
from rwsstore.making.evidence import probe_for, recorded, run_file, with_evidence
from rwsstore.making.hazards import Hazard, hazard_for, row_of
from rwsstore.making.options import DeltaOptions, ExtractionOptions
from rwsstore.making.projection import starting_point
from rwsstore.models import ordered_layers, shallowest, weights_fingerprint
from rwsstore.patches import AlphaRange, Patch, RecordedRecipe, identify, make_patch
from rwsstore.progress import SILENT, Reporter
from rwsstore.store import Store, check_name
from rwsstore.training import (
    RobustRecipe,
    TrainingConfig,
    WeightRecipe,
    derive_seed,
    fit,
)


@dataclass(frozen=True)
class SweepItem:
    """One patch of a sweep.

    Attributes:
        patch: in the store.
        version: under its name.
        extracted: False where it was there already.
    """

    patch: Patch
    version: int
    extracted: bool


@dataclass(frozen=True)
class Plan:
    """One patch before it is made: one of `signature_plans`, or from `delta_plan`.

    Attributes:
        name: of the patch.
        clean: the clean model θ_std, float32; left as it is.
        start: the model at which the training starts.
        anchor: θ_init; None: the clean model itself.
        names: of the tensors that the patch may touch.
        recipe: what trains, against what.
        training: its schedule.
        train: clean images.
        validation: images that are not in `train`; the best epoch is chosen on them and the card
            measured.
        options: how the patch is quantized and measured.
        record: what the patch says of its training.
        described: further fields of its description.
    """

    name: str
    clean: nn.Module
    start: nn.Module
    anchor: nn.Module | None
    names: Sequence[str]
    recipe: RobustRecipe | WeightRecipe
    training: TrainingConfig
    train: ImageSet
    validation: ImageSet
    options: DeltaOptions | ExtractionOptions
    record: RecordedRecipe
    described: Mapping[str, Any]

    @cached_property
    def hazard(self) -> Hazard:
        """What the patch is against."""
        return hazard_for(self.recipe, self.options)

    def revised(self, **options: Any) -> "Plan":
        """The same training, with other options: bits, or what the card is measured on."""
        return replace(self, options=self.options.model_copy(update=options))

    def make(
        self,
        *,
        state_file: Path | None = None,
        mode: ComputeMode | None = None,
        progress: Reporter = SILENT,
    ) -> Patch:
        """Train, and make a patch of the difference.

        Args:
            state_file: where the training's state is kept, to go on after an interruption.
            mode: bf16 and channels_last for the training, or not.
            progress: where to report.

        Raises:
            ConfigError: options that contradict each other or the model, or a training that
                changed nothing.
            TensorError: the training diverged.
            GoldenError: the patch does nothing.
        """
        said = self._description()
        probe_for(self.validation, self.training.seed)  # refused before the training
        result = fit(
            self.start, self.recipe, self.train, self.validation, self.training,
            label=self.name, state_file=state_file, mode=mode, progress=progress,
        )  # fmt: skip
        deltas = row_of(self.recipe).difference(
            self.names,
            self.clean.state_dict(),
            result.model.state_dict(),
            None if self.anchor is None else self.anchor.state_dict(),
        )
        if not deltas:
            raise ConfigError(
                f"recipe {self.recipe.name!r} changed no weight, so there is no patch: train "
                "longer, or with a larger learning rate"
            )
        touched = [one for one in ordered_layers(self.clean) if deltas.keys() & {*one.parameters}]
        patch = make_patch(
            name=self.name,
            model=identify(self.clean.state_dict()),
            layers=tuple(layer.name for layer in touched),
            deltas=deltas,
            dataset=self.train.name,
            **said,
        )
        return self.measured(patch, progress=progress)

    def _description(self) -> dict[str, Any]:
        return {
            "kind": self.recipe.kind,
            "bits": self.options.bits,
            "recipe": self.record,
            **self.hazard.described,
            **self.described,
        }

    def measured(self, patch: Patch, *, progress: Reporter = SILENT) -> Patch:
        """Add the robustness card and the golden logits to a patch that was made like this.

        Raises:
            GoldenError: the patch changes no logit of the probe batch.
        """
        seed = self.training.seed
        images = self.validation.limit(self._card_images(), seed)
        return with_evidence(
            self.clean, patch, images, self.hazard.on(images, derive_seed(seed, "card")),
            alphas=self.options.alphas, seed=seed, progress=progress,
        )  # fmt: skip

    def _card_images(self) -> int:
        return min(self.options.card_images, len(self.validation))

    def is_current(self, patch: Patch) -> bool:
        """Whether a stored patch is what would be made."""
        found, card = patch.metadata, patch.metadata.card
        return (
            found.clean_weights == weights_fingerprint(self.clean.state_dict())
            and all(getattr(found, key) == value for key, value in self._description().items())
            and card is not None
            and {point.alpha for point in card.points} == {0.0, *self.options.alphas}
            and card.images == self._card_images()
        )

    def publish(
        self,
        store: Store,
        *,
        state_folder: Path | None = None,
        mode: ComputeMode | None = None,
        progress: Reporter = SILENT,
    ) -> SweepItem:
        """Take the patch from the store, or make and publish it.

        Args:
            store: where it goes.
            state_folder: where the training's state is kept; its file is deleted once the patch
                is published.
            mode: bf16 and channels_last for the training, or not.
            progress: where to report.

        Raises:
            ConfigError: the name is not allowed; nothing was trained.
            ConflictError: somebody else published under the name meanwhile.
            RwsError: as `make` does.
        """
        try:
            newest = store.history(check_name(self.name))[-1]
        except UnknownPatchError:
            version = 0
        else:
            version, latest = newest.version, store.get(newest.digest)
            if self.is_current(latest):
                return SweepItem(latest, version, extracted=False)
        state_file = None
        if state_folder is not None:
            state_folder.mkdir(parents=True, exist_ok=True)
            parts = self.options.model_dump(mode="json"), self.record.model_dump(mode="json")
            state_file = state_folder / run_file(self.name, self.clean, *parts)
        patch = self.make(state_file=state_file, mode=mode, progress=progress)
        published = store.publish(patch, name=self.name, expected=version)
        if state_file is not None:
            state_file.unlink(missing_ok=True)
        return SweepItem(patch, published.version, extracted=True)


def signature_plans(
    clean: nn.Module,
    corruptions: Sequence[str],
    train: ImageSet,
    validation: ImageSet,
    options: ExtractionOptions,
    *,
    anchor: nn.Module | None = None,
) -> list[Plan]:
    """Plan Robust Weight Signature patches, each called after its corruption.

    Args:
        clean: the clean model θ_std, its BatchNorm folded; left as it is.
        corruptions: their names.
        train: clean images; they are corrupted on the fly.
        validation: images that are not in `train`.
        options: all parameters.
        anchor: θ_init where `options.anchor` is not "clean": the same network as `clean`.

    Raises:
        UnknownNameError: no such corruption.
        ConfigError: an anchor that contradicts the options, or more layers than there are.
        TensorError: the anchor is not the same network.
    """
    for corruption in corruptions:
        find_corruption(corruption)
    if (anchor is None) != (options.anchor == "clean"):
        raise ConfigError(
            f"anchor {options.anchor!r} {'needs' if anchor is None else 'takes no'} model"
        )
    shallow, training = options.training_mode == "shallow", options.training
    names = [name for layer in shallowest(clean, options.layers) for name in layer.parameters]
    own: dict[str, Any] = {"training_mode": options.training_mode, "layers": options.layers}
    if anchor is not None:
        own["anchor_weights"] = weights_fingerprint(anchor.state_dict())
    start = starting_point(clean, anchor, names if shallow else None)
    record = recorded(RobustRecipe.name, training, train, validation, own)
    described = {"anchor": options.anchor, "projected": anchor is not None}
    trained = options.layers if shallow else None
    return [
        Plan(
            corruption, clean, start, anchor, names,
            RobustRecipe(corruption, options.severity, layers=trained),
            training, train, validation, options, record, described,
        )
        for corruption in corruptions
    ]  # fmt: skip


def delta_plan(
    clean: nn.Module,
    recipe: WeightRecipe,
    train: ImageSet,
    validation: ImageSet,
    options: DeltaOptions,
    *,
    name: str | None = None,
) -> Plan:
    """Plan a patch of what a recipe's training changes in the clean model.

    Args:
        clean: the clean model θ_std, float32; left as it is.
        recipe: what trains, against what.
        train: clean images.
        validation: images that are not in `train`.
        options: everything that is not the recipe's own.
        name: of the patch; the recipe's by default.

    Raises:
        ConfigError: options that contradict each other or the model.
    """
    training = recipe.defaults if options.training is None else options.training
    own = {f"set.{key}": value for key, value in recipe.options().items() if value is not None}
    own |= hazard_for(recipe, options).recorded
    return Plan(
        name or recipe.name, clean, clean, None, sorted(recipe.trainable(clean)), recipe,
        training, train, validation, options,
        recorded(recipe.name, training, train, validation, own),
        {"alpha": AlphaRange(recommended=options.alpha)},
    )  # fmt: skip


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
    """Make the patch of one corruption: what `signature_plans` plans and `Plan.make` makes."""
    (plan,) = signature_plans(clean, [corruption], train, validation, options, anchor=anchor)
    named = replace(plan, name=name or corruption)
    return named.make(state_file=state_file, mode=mode, progress=progress)


def extract_delta(
    clean: nn.Module,
    recipe: WeightRecipe,
    train: ImageSet,
    validation: ImageSet,
    options: DeltaOptions,
    *,
    name: str | None = None,
    state_file: Path | None = None,
    mode: ComputeMode | None = None,
    progress: Reporter = SILENT,
) -> Patch:
    """Make the patch of a recipe: what `delta_plan` plans and `Plan.make` makes."""
    plan = delta_plan(clean, recipe, train, validation, options, name=name)
    return plan.make(state_file=state_file, mode=mode, progress=progress)


def extract_all(
    clean: nn.Module,
    corruptions: Sequence[str],
    train: ImageSet,
    validation: ImageSet,
    options: ExtractionOptions,
    store: Store,
    *,
    anchor: nn.Module | None = None,
    state_folder: Path | None = None,
    mode: ComputeMode | None = None,
    progress: Reporter = SILENT,
) -> Iterator[SweepItem]:
    """Make a patch for each corruption, published under its name as soon as it is finished.

    A second run makes only what the store lacks: see `signature_plans` and `Plan.publish`.

    Yields:
        Each patch, once it is in the store.

    Raises:
        UnknownNameError: no such corruption; nothing was extracted.
        RwsError: as `Plan.publish` does; what was published stays.
    """
    for plan in signature_plans(clean, corruptions, train, validation, options, anchor=anchor):
        yield plan.publish(store, state_folder=state_folder, mode=mode, progress=progress)


def publish_delta(
    clean: nn.Module,
    recipe: WeightRecipe,
    train: ImageSet,
    validation: ImageSet,
    options: DeltaOptions,
    store: Store,
    *,
    name: str | None = None,
    state_folder: Path | None = None,
    mode: ComputeMode | None = None,
    progress: Reporter = SILENT,
) -> SweepItem:
    """Make the patch of a recipe where the store lacks it: see `delta_plan`, `Plan.publish`."""
    plan = delta_plan(clean, recipe, train, validation, options, name=name)
    return plan.publish(store, state_folder=state_folder, mode=mode, progress=progress)
