"""From a configuration and a folder of images to a bundle: train, extract, measure, write."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rwsstore import models
from rwsstore.bundled import card_path, model_path, store_path
from rwsstore.canonical import canonical_json, first_difference
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet, match_classes
from rwsstore.errors import ConfigError, DataError, FormatError, UnknownPatchError
from rwsstore.files import make_folders, read_bounded, staged_folder, write_atomic
from rwsstore.making.card import (
    BundleCard,
    DeltaSummary,
    PatchSummary,
    TrainingSummary,
    card_markdown,
)
from rwsstore.making.config import BundleConfig
from rwsstore.making.pipeline import LATER, Plan, delta_plan, signature_plans
from rwsstore.measure import EvaluationOptions, EvaluationReport, accuracy, evaluate
from rwsstore.patches import Patch
from rwsstore.progress import SILENT, Reporter
from rwsstore.runtime import FORMATS, LiveModel, PatchBag, measure_agreement
from rwsstore.store import Entry, Store
from rwsstore.training import CleanRecipe, average_cycles, derive_seed, fit, hold_out, images_digest

_LARGEST_MARK = 2**20
_WIDE_BITS = 32
_WIDE_IMAGES = {"corruption": 500, "attack": 100}
"""The 32-bit patches stay in the work folder: a small card is enough to tell a failed training."""

_STORE_PARTS = ("store.json", "objects", "refs")
"""What a read-only store needs; its index and lock would be the building machine's."""


def build_bundle(
    config: BundleConfig,
    train: ImageSet,
    test: ImageSet,
    out: Path,
    *,
    work: Path,
    measure_again: bool = False,
    progress: Reporter = SILENT,
) -> BundleCard:
    """Train a clean model and its patches, measure them once on the test images, write all of it.

    A second run with the same configuration and images goes on where the first was stopped.

    Args:
        config: every parameter.
        train: the images on which everything is chosen are split off.
        test: looked at once.
        out: folder of the bundle; must not exist, or hold this very bundle.
        work: folder for what is kept between runs, the unfolded network and the patches at 32
            bits among it.
        measure_again: measure the compute formats of a finished bundle again; done anyway where
            its card says nothing of some.
        progress: where to report.

    Raises:
        DataError: the images' classes are not those of the configuration.
        ConfigError: `out` or `work` belongs to another configuration or to other images.
        RwsError: as training, extraction and evaluation do; what was finished stays.
    """
    train, test = _named(config, train), _named(config, test)
    origin = {"images": images_digest(train), "test_images": images_digest(test)}
    rest, held_out = hold_out(train, validation=config.data.validation, seed=config.data.seed)
    if card_path(out).exists():
        return _finished(out, config, origin, held_out, measure_again, progress)
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} holds something, but no bundle: choose another folder")
    _claim_work(work, config, origin)
    clean, summary = _trained(config, rest, held_out, work, progress)
    plans = _planned(config, clean, rest, held_out)
    shipped = Store(work / "store")
    patches = [_made(plan, shipped, work, config.compute_mode, progress) for plan in plans]
    names = {patch.name for patch in patches}
    for entry in shipped.list():
        if entry.name not in names:  # an earlier configuration made it besides
            shipped.remove(entry.name)
    shipped.gc()
    made = [*zip(plans, patches, strict=True)]
    listed = {entry.name: entry for entry in shipped.list()}
    card = BundleCard(
        name=config.name,
        config=config,
        **origin,
        training=summary,
        weights=models.weights_fingerprint(clean.state_dict()),
        parameters=sum(tensor.numel() for tensor in clean.parameters()),
        patches=tuple(
            PatchSummary.model_validate(listed[plan.name], from_attributes=True) for plan in plans
        ),
        report=_evaluated(config, clean, patches, test, progress),
        deltas=_measured(config, made[len(config.corruptions) :], listed, test, progress),
        formats=_agreements(clean, patches, held_out, progress),
    )
    _write(out, clean, shipped, card)
    return card


def _named(config: BundleConfig, images: ImageSet) -> ImageSet:
    wanted, found = set(config.data.classes), set(images.classes)
    if found != wanted:
        faults = [
            f"{word} {', '.join(sorted(names)[:5])}"
            for word, names in (("it lacks", wanted - found), ("it has besides", found - wanted))
            if names
        ]
        raise DataError(
            f"{images.name} has other classes than the configuration (data.classes): "
            + "; ".join(faults)
        )
    return replace(match_classes(images, config.data.classes), name=config.data.name)


def _finished(
    out: Path,
    config: BundleConfig,
    origin: Mapping[str, str],
    held_out: ImageSet,
    measure_again: bool,
    progress: Reporter,
) -> BundleCard:
    """The card of a finished bundle, its compute formats measured again where that is wanted."""
    card = BundleCard.read(card_path(out))
    if card.config != config or {key: getattr(card, key) for key in origin} != origin:
        raise ConfigError(
            f"{out} holds the finished bundle {card.name!r} of another configuration or of "
            "other images: nothing was changed; choose another folder"
        )
    if measure_again or FORMATS.keys() - {one.name for one in card.formats}:
        store = Store(store_path(out), read_only=True)
        patches = [store.get(summary.digest) for summary in card.patches]
        formats = _agreements(models.load_clean_model(model_path(out)), patches, held_out, progress)
        card = card.model_copy(update={"formats": formats})
        _write_card(out, card)
    return card


def _claim_work(work: Path, config: BundleConfig, origin: Mapping[str, str]) -> None:
    """Mark a work folder as this bundle's, or see that it is.

    Patches against failing weights may be added, changed and left out between runs: each knows
    itself what it was made with. Everything else may not.
    """
    run = config.model_dump(mode="json", exclude={"deltas": True, "measuring": {"hazard_images"}})
    for training in (run["training"], run["extraction"]["training"]):
        for name, value in LATER.items():
            if training[name] == value:
                del training[name]
    mark, text = work / "run.json", canonical_json({"config": run, **origin}) + "\n"
    if not mark.exists():
        make_folders(work)
        write_atomic(mark, text.encode())
        return
    try:
        found = json.loads(read_bounded(mark, limit=_LARGEST_MARK, what=str(mark)))
    except ValueError:
        raise FormatError(f"{mark} is damaged: delete the folder to start again") from None
    difference = first_difference(found, json.loads(text))
    if difference is not None:
        raise ConfigError(
            f"{work} belongs to another run: {difference}. Nothing was changed; give this run "
            "another folder, or delete that one to start again"
        )


def _trained(
    config: BundleConfig, train: ImageSet, held_out: ImageSet, work: Path, progress: Reporter
) -> tuple[models.Classifier, TrainingSummary]:
    """The clean model, folded; the network as it was trained stays beside it."""
    written, checkpoint = work / "training.json", work / "clean.safetensors"
    if not written.exists():
        state_file = work / "clean.state"
        result = fit(
            models.build(config.spec(train), seed=config.training.seed),
            CleanRecipe(), train, held_out, config.training,
            state_file=state_file, mode=config.compute_mode, progress=progress,
        )  # fmt: skip
        if config.averaging is not None:
            result = average_cycles(
                result.model, CleanRecipe(), train, held_out, config.training, config.averaging,
                state_file=state_file, mode=config.compute_mode, progress=progress,
            )  # fmt: skip
        assert isinstance(result.model, models.Classifier)  # noqa: S101  (it is what was given)
        folded = models.fold_batchnorm(result.model)
        models.save_checkpoint(checkpoint, folded)
        models.save_checkpoint(work / "clean.unfolded.safetensors", result.model)
        summary = TrainingSummary(
            images=len(train),
            validation_images=len(held_out),
            validation_accuracy=result.best.accuracy,
            weights=models.weights_fingerprint(folded.state_dict()),
        )
        write_atomic(written, (canonical_json(summary.model_dump()) + "\n").encode())
        for state in work.glob(f"{state_file.name}*"):
            state.unlink()
    summary = TrainingSummary.read(written)
    clean = models.load_checkpoint(checkpoint)
    if models.weights_fingerprint(clean.state_dict()) != summary.weights:
        raise ConfigError(f"{checkpoint} is not the model that was trained here: delete {work}")
    return clean, summary


def _planned(
    config: BundleConfig, clean: models.Classifier, train: ImageSet, held_out: ImageSet
) -> list[Plan]:
    """The patches against corruptions, then those against failing weights and adversaries."""
    signatures = signature_plans(clean, config.corruptions, train, held_out, config.extraction)
    deltas = [
        delta_plan(clean, one.recipe_for(clean), train, held_out, one.options, name=one.patch_name)
        for one in config.deltas
    ]
    return signatures + deltas


def _made(plan: Plan, shipped: Store, work: Path, mode: ComputeMode, progress: Reporter) -> Patch:
    """Make it at 32 bits, so that every width can be compared, and store it as it is shipped."""
    try:
        stored = shipped.get(plan.name)
    except UnknownPatchError:
        stored = None
    if stored is not None and plan.is_current(stored):
        return stored
    images = _WIDE_IMAGES["attack" if plan.hazard.corruption is None else "corruption"]
    wide = plan.revised(
        bits=_WIDE_BITS, alphas=(1.0,), card_images=min(images, plan.options.card_images)
    )
    item = wide.publish(
        Store(work / "store32"), state_folder=work / "runs", mode=mode, progress=progress
    )
    patch = plan.measured(item.patch.at_bits(plan.options.bits), progress=progress)
    if stored is not None:  # of other settings; what is shipped has one version of each name
        shipped.remove(plan.name)
    shipped.publish(patch, name=plan.name, expected=0)
    return patch


def _evaluated(
    config: BundleConfig,
    clean: models.Classifier,
    patches: Sequence[Patch],
    test: ImageSet,
    progress: Reporter,
) -> EvaluationReport:
    """Measure the patches against corruptions, which come first, on the test images."""
    settings = EvaluationOptions(
        severities=(config.extraction.severity,),
        bits=config.measuring.bits,
        seed=config.measuring.seed,
        resamples=config.measuring.resamples,
    )
    signatures = {patch.name: patch for patch in patches[: len(config.corruptions)]}
    return evaluate(clean, signatures, test, settings, progress=progress)


def _measured(
    config: BundleConfig,
    made: Sequence[tuple[Plan, Patch]],
    listed: Mapping[str, Entry],
    test: ImageSet,
    progress: Reporter,
) -> tuple[DeltaSummary, ...]:
    """Measure each patch once on the test images: TA, and accuracy under its hazard."""
    settings = config.measuring
    images = test.limit(min(settings.hazard_images, len(test)), settings.seed)
    found = []
    with progress.task("hazards, test images", total=len(made)) as task:
        for plan, patch in made:
            live = LiveModel(plan.clean, PatchBag([patch]))
            bare, patched = live.variant({}), live.variant({patch.name: None})
            under = plan.hazard.on(images, derive_seed(settings.seed, "hazard"))
            known = vars(listed[patch.name])
            one = DeltaSummary(
                **{name: known[name] for name in DeltaSummary.model_fields if name in known},
                layers=len(patch.metadata.layers),
                images=len(images),
                ta=accuracy(patched, test.images, test.labels),
                clean_model=under(bare.module),
                patched=under(patched.module),
            )
            task.advance(note=f"{one.name}: {one.clean_model:.1f} to {one.patched:.1f}")
            found.append(one)
    return tuple(found)


def _agreements(
    clean: models.Classifier, patches: Sequence[Patch], held_out: ImageSet, progress: Reporter
) -> tuple[models.FormatAgreement, ...]:
    """Compare every compute format with float32: clean, and with each patch as recommended."""
    return measure_agreement(
        clean,
        held_out.images,
        patches=PatchBag(patches),
        requests=[{patch.name: None} for patch in patches],
        progress=progress,
    )


def _write(out: Path, clean: models.Classifier, store: Store, card: BundleCard) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with staged_folder(out) as folder:
        models.save_checkpoint(model_path(folder), clean)
        target = store_path(folder)
        target.mkdir()
        for name in _STORE_PARTS:
            source = store.root / name
            if source.is_dir():
                shutil.copytree(source, target / name)
            else:
                shutil.copy(source, target / name)
        _write_card(folder, card)


def _write_card(folder: Path, card: BundleCard) -> None:
    write_atomic(card_path(folder), card.to_json().encode())
    write_atomic(folder / "CARD.md", card_markdown(card).encode())
