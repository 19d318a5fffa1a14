"""From a recipe to a published patch: train, subtract, quantize, measure, publish."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import nn

from rwsstore import patches
from rwsstore.canonical import canonical_json, derive_seed, sha256_hex
from rwsstore.corruptions.registry import find_corruption
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, UnknownPatchError
from rwsstore.making.hazards import Hazard, hazard_for, row_of
from rwsstore.making.options import DeltaOptions, ExtractionOptions
from rwsstore.making.projection import starting_point
from rwsstore.measure.accuracy import accuracy
from rwsstore.models import shallowest, touched_layers, weights_fingerprint
from rwsstore.progress import SILENT, Reporter
from rwsstore.runtime import LiveModel, PatchBag
from rwsstore.store import Store, check_name
from rwsstore.training import RobustRecipe, TrainingConfig, WeightRecipe, fit, images_digest

LATER = {"optimizer": "sgd"}
"""Fields of a training's configuration that came later, as they always were before."""

_PROBE_IMAGES = 8
_LONGEST_TEXT = 4096


def recorded(
    name: str,
    training: TrainingConfig,
    train: ImageSet,
    validation: ImageSet,
    own: Mapping[str, Any],
) -> patches.RecordedRecipe:
    """What a patch records of its training; equal recipes, options and images, equal records.

    What came later is left out where it is as it always was, so that the same training goes on
    making the same bytes.

    Of the recipe's own settings, lists are recorded as JSON text, long ones as its hash.
    """
    schedule = training.model_dump(mode="json", exclude={"version", "seed"})
    images = images_digest(train) + images_digest(validation)
    parameters = {
        **{name: value for name, value in schedule.items() if LATER.get(name) != value},
        "training_images": len(train),
        "validation_images": len(validation),
        "images": sha256_hex(images.encode()),
    }
    for key, value in own.items():
        if not isinstance(value, bool | int | float | str):
            text = canonical_json(value)
            value = text if len(text) <= _LONGEST_TEXT else f"sha256:{sha256_hex(text.encode())}"
        parameters[key] = value
    return patches.RecordedRecipe(name=name, seed=training.seed, parameters=parameters)


class Running(TypedDict, total=False):
    """How a patch is made, and nothing that its bytes tell.

    Attributes:
        state_folder: where the states of trainings are kept, to go on after an interruption.
        mode: bf16 and channels_last for the training, or not.
        progress: where to report.
    """

    state_folder: Path | None
    mode: ComputeMode | None
    progress: Reporter


@dataclass(frozen=True)
class SweepItem:
    """One patch of a sweep, in the store.

    Attributes:
        version: under its name.
        extracted: False where it was there already.
    """

    patch: patches.Patch
    version: int
    extracted: bool


@dataclass(frozen=True)
class Plan:
    """One patch before it is made: one of `signature_plans`, or from `delta_plan`.

    Attributes:
        clean: the clean model θ_std, float32; left as it is.
        start: the model at which the training starts.
        anchor: θ_init; None: the clean model itself.
        names: of the tensors that the patch may touch.
        recipe: what trains, against what.
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
    record: patches.RecordedRecipe
    described: Mapping[str, Any]

    @cached_property
    def hazard(self) -> Hazard:
        """What the patch is against."""
        return hazard_for(self.recipe, self.options)

    def revised(self, **options: Any) -> "Plan":
        """The same training, with other options: bits, or what the card is measured on."""
        return replace(self, options=self.options.model_copy(update=options))

    def make(self, **running: Unpack[Running]) -> patches.Patch:
        """Train, and make a patch of the difference.

        Raises:
            ConfigError: options that contradict each other or the model, or a training that
                changed nothing.
            TensorError: the training diverged.
            GoldenError: the patch does nothing.
        """
        said = self._description()
        self._probe()  # refused before the training
        result = fit(
            self.start, self.recipe, self.train, self.validation, self.training,
            label=self.name, state_file=self._state_file(running.get("state_folder")),
            mode=running.get("mode"), progress=running.get("progress", SILENT),
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
        patch = patches.make_patch(
            name=self.name,
            model=patches.identify(self.clean.state_dict()),
            layers=tuple(layer.name for layer in touched_layers(self.clean, deltas)),
            deltas=deltas,
            dataset=self.train.name,
            **said,
        )
        return self.measured(patch, progress=running.get("progress", SILENT))

    def _description(self) -> dict[str, Any]:
        return {
            "kind": self.recipe.kind,
            "bits": self.options.bits,
            "recipe": self.record,
            **self.hazard.described,
            **self.described,
        }

    def measured(self, patch: patches.Patch, *, progress: Reporter = SILENT) -> patches.Patch:
        """Add the robustness card and the golden logits to a patch that was made like this."""
        seed, probe = self.training.seed, self._probe()
        images = self.validation.limit(self._card_images(), seed)
        hardened = self.hazard.on(images, derive_seed(seed, "card"))
        live = LiveModel(self.clean, PatchBag([patch]))
        batch = patches.probe_images(probe.seed, probe.count, probe.size)
        models = live.variant({}), live.variant({patch.name: None})
        golden = patches.record_golden(*models, batch)
        patches.check_golden(golden, *models, batch)
        points = []
        grid = sorted({0.0, *self.options.alphas})
        with progress.task(f"{patch.name}, robustness card", total=len(grid)) as task:
            for alpha in grid:
                model = live.variant({patch.name: alpha})
                ta, ra = accuracy(model, images.images, images.labels), hardened(model.module)
                points.append(patches.CardPoint(alpha=alpha, ta=ta, ra=ra))
                task.advance(note=f"alpha {alpha:g}: TA {ta:.1f}, RA {ra:.1f}")
        card = patches.RobustnessCard(images=len(images), points=tuple(points))
        return patch.with_evidence(card=card, golden=golden, probe=probe)

    def _probe(self) -> patches.GoldenProbe:
        """The probe batch for a model that takes images of this size."""
        size = int(self.validation.images.shape[-1])
        try:
            return patches.GoldenProbe(seed=self.training.seed, count=_PROBE_IMAGES, size=size)
        except ValueError as error:
            raise ConfigError(f"no golden logits for images of {size} pixels: {error}") from None

    def _card_images(self) -> int:
        return min(self.options.card_images, len(self.validation))

    def is_current(self, patch: patches.Patch) -> bool:
        """Whether a stored patch is what would be made."""
        found, card = patch.metadata, patch.metadata.card
        return (
            found.clean_weights == weights_fingerprint(self.clean.state_dict())
            and all(getattr(found, key) == value for key, value in self._description().items())
            and card is not None
            and {point.alpha for point in card.points} == {0.0, *self.options.alphas}
            and card.images == self._card_images()
        )

    def _state_file(self, folder: Path | None) -> Path | None:
        """Where the state of its training is kept; no other run shares it."""
        if folder is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        clean = weights_fingerprint(self.clean.state_dict())
        parts = self.options.model_dump(mode="json"), self.record.model_dump(mode="json")
        key = sha256_hex(canonical_json([clean, *parts]).encode())
        return folder / f"{self.name}-{key[:16]}.safetensors"

    def publish(self, store: Store, **running: Unpack[Running]) -> SweepItem:
        """Take the patch from the store, or make and publish it; then its training has no state.

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
        patch = self.make(**running)
        published = store.publish(patch, name=self.name, expected=version)
        state_file = self._state_file(running.get("state_folder"))
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

    Of `Plan`'s images and models; the anchor is given where `options.anchor` is not "clean".

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
    """Plan a patch of what a recipe's training changes in the clean model, called after it.

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
        {"alpha": patches.AlphaRange(recommended=options.alpha)},
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
    **running: Unpack[Running],
) -> patches.Patch:
    """Make the patch of one corruption: what `signature_plans` plans and `Plan.make` makes."""
    (plan,) = signature_plans(clean, [corruption], train, validation, options, anchor=anchor)
    return replace(plan, name=name or corruption).make(**running)


def extract_delta(
    clean: nn.Module,
    recipe: WeightRecipe,
    train: ImageSet,
    validation: ImageSet,
    options: DeltaOptions,
    *,
    name: str | None = None,
    **running: Unpack[Running],
) -> patches.Patch:
    """Make the patch of a recipe: what `delta_plan` plans and `Plan.make` makes."""
    return delta_plan(clean, recipe, train, validation, options, name=name).make(**running)


def extract_all(
    clean: nn.Module,
    corruptions: Sequence[str],
    train: ImageSet,
    validation: ImageSet,
    options: ExtractionOptions,
    store: Store,
    *,
    anchor: nn.Module | None = None,
    **running: Unpack[Running],
) -> Iterator[SweepItem]:
    """Make a patch for each corruption, published under its name as soon as it is finished.

    A second run makes only what the store lacks.

    Raises:
        UnknownNameError: no such corruption; nothing was extracted.
        RwsError: as `Plan.publish` does; what was published stays.
    """
    for plan in signature_plans(clean, corruptions, train, validation, options, anchor=anchor):
        yield plan.publish(store, **running)


def publish_delta(
    clean: nn.Module,
    recipe: WeightRecipe,
    train: ImageSet,
    validation: ImageSet,
    options: DeltaOptions,
    store: Store,
    *,
    name: str | None = None,
    **running: Unpack[Running],
) -> SweepItem:
    """Make the patch of a recipe where the store lacks it: see `delta_plan`, `Plan.publish`."""
    plan = delta_plan(clean, recipe, train, validation, options, name=name)
    return plan.publish(store, **running)
