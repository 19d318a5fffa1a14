"""From a configuration and a folder of images to a bundle: train, extract, measure, write."""

__all__ = ["build_bundle"]

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rwsstore.bundled import card_path, model_path, store_path
from rwsstore.canonical import canonical_json
from rwsstore.data import ImageSet, match_classes
from rwsstore.errors import ConfigError, DataError, UnknownPatchError
from rwsstore.evaluation import EvaluationOptions, EvaluationReport, evaluate
from rwsstore.files import staged_folder, write_atomic
from rwsstore.making.card import BundleCard, DeltaSummary, TrainingSummary, describe_patches
from rwsstore.making.config import BundleConfig
from rwsstore.making.deltas import make_deltas, measure_deltas
from rwsstore.making.finished import (
    finished_bundle,
    formats_known,
    measure_formats,
    measured_again,
    write_card,
)
from rwsstore.making.work import Work, claim_work
from rwsstore.models import (
    Classifier,
    FormatAgreement,
    build,
    fold_batchnorm,
    load_checkpoint,
    save_checkpoint,
    weights_fingerprint,
)
from rwsstore.patches import Patch
from rwsstore.progress import SILENT, Reporter
from rwsstore.signatures import extract_all
from rwsstore.signatures.evidence import with_evidence
from rwsstore.store import Store
from rwsstore.training import (
    CleanRecipe,
    EpochRecord,
    forget_states,
    hold_out,
    train_averaged,
)
from rwsstore.training.resume import images_digest

_WIDE_BITS = 32
_WIDE_CARD_IMAGES = 500
"""The 32-bit patches stay in the work folder: a small card is enough to tell a failed training."""

_SHIPPED = ("store.json", "objects", "refs")
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
        train: training images; the images on which everything is chosen are split off.
        test: test images.
        out: folder of the bundle; must not exist, or hold this very bundle.
        work: folder for what is kept between runs; the unfolded network and the patches at 32
            bits stay there.
        measure_again: where the bundle is finished, measure its compute formats again; done
            anyway where its card says nothing of some.
        progress: where to report.

    Returns:
        The card, as it lies in `out`.

    Raises:
        DataError: the images' classes are not those of the configuration.
        ConfigError: `out` or `work` belongs to another configuration or to other images.
        RwsError: as training, extraction and evaluation do; what was finished stays.
    """
    train, test = _named(config, train), _named(config, test)
    origin = {"images": images_digest(train), "test_images": images_digest(test)}
    rest, held_out = hold_out(train, validation=config.data.validation, seed=config.data.seed)
    if card_path(out).exists():
        card = finished_bundle(out, config, origin)
        if measure_again or not formats_known(card):
            card = measured_again(out, card, held_out, progress=progress)
        return card
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} holds something, but no bundle: choose another folder")
    files = claim_work(work, config, origin)
    clean, summary = _trained(config, rest, held_out, files, progress)
    patches = _patches(config, clean, rest, held_out, files, progress)
    deltas = make_deltas(config, clean, rest, held_out, files, progress=progress)
    _keep_only(files.narrow, [*patches, *deltas])
    settings = EvaluationOptions(
        severities=(config.extraction.severity,),
        bits=config.measuring.bits,
        seed=config.measuring.seed,
        resamples=config.measuring.resamples,
    )
    report = evaluate(
        clean, {patch.name: patch for patch in patches}, test, settings, progress=progress
    )
    summaries = measure_deltas(config, clean, deltas, test, progress=progress)
    formats = measure_formats(clean, (*patches, *deltas), held_out, progress=progress)
    card = _card(config, origin, clean, (*patches, *deltas), summary, report, summaries, formats)
    _write(out, clean, files.narrow, card)
    return card


def _named(config: BundleConfig, images: ImageSet) -> ImageSet:
    if set(images.classes) != set(config.data.classes):
        missing = sorted(set(config.data.classes) - set(images.classes))
        extra = sorted(set(images.classes) - set(config.data.classes))
        raise DataError(
            f"{images.name} has other classes than the configuration (data.classes): "
            + "; ".join(
                f"{word} {', '.join(names[:5])}"
                for word, names in (("it lacks", missing), ("it has besides", extra))
                if names
            )
        )
    return replace(match_classes(images, config.data.classes), name=config.data.name)


def _trained(
    config: BundleConfig, train: ImageSet, held_out: ImageSet, files: Work, progress: Reporter
) -> tuple[Classifier, TrainingSummary]:
    if not files.summary.exists():
        unfolded, best = _train(config, train, held_out, files, progress)
        folded = fold_batchnorm(unfolded)
        save_checkpoint(files.clean, folded)
        save_checkpoint(files.unfolded, unfolded)
        summary = TrainingSummary(
            images=len(train),
            validation_images=len(held_out),
            validation_accuracy=best.accuracy,
            weights=weights_fingerprint(folded.state_dict()),
        )
        write_atomic(files.summary, (canonical_json(summary.model_dump()) + "\n").encode())
        forget_states(files.state)
    summary = TrainingSummary.read(files.summary)
    clean = load_checkpoint(files.clean)
    if weights_fingerprint(clean.state_dict()) != summary.weights:
        raise ConfigError(
            f"{files.clean} is not the model that was trained here: delete {files.folder}"
        )
    return clean, summary


def _train(
    config: BundleConfig, train: ImageSet, held_out: ImageSet, files: Work, progress: Reporter
) -> tuple[Classifier, EpochRecord]:
    """The network as it was trained, before folding, and its accuracy on the held-out images."""
    start = build(config.spec(train), seed=config.training.seed)
    result = train_averaged(
        start, CleanRecipe(), train, held_out, config.training, config.averaging,
        state_file=files.state, mode=config.compute_mode, progress=progress,
    )  # fmt: skip
    assert isinstance(result.model, Classifier)  # noqa: S101  (training returns what it was given)
    return result.model, result.best


def _patches(
    config: BundleConfig,
    clean: Classifier,
    train: ImageSet,
    held_out: ImageSet,
    files: Work,
    progress: Reporter,
) -> tuple[Patch, ...]:
    """Extract at 32 bits, so that every width can be compared, and store at the width asked for."""
    options = config.extraction
    wide = options.model_copy(
        update={
            "bits": _WIDE_BITS,
            "card_images": min(_WIDE_CARD_IMAGES, options.card_images),
            "alphas": (1.0,),
        }
    )
    extracted = extract_all(
        clean, config.corruptions, train, held_out, wide, files.wide,
        state_folder=files.runs, mode=config.compute_mode, progress=progress,
    )  # fmt: skip
    patches = []
    for item in extracted:
        name = item.patch.name
        patch = _stored(files.narrow, name)
        if patch is None:
            patch = with_evidence(
                clean, item.patch.at_bits(options.bits), held_out, options, progress=progress
            )
            files.narrow.publish(patch, name=name, expected=0)
        patches.append(patch)
    return tuple(patches)


def _stored(store: Store, name: str) -> Patch | None:
    try:
        return store.get(name)
    except UnknownPatchError:
        return None


def _keep_only(store: Store, patches: Iterable[Patch]) -> None:
    """Take out what an earlier configuration made besides."""
    names = {patch.name for patch in patches}
    for entry in store.list():
        if entry.name not in names:
            store.remove(entry.name)
    store.gc()


def _card(
    config: BundleConfig,
    origin: dict[str, str],
    clean: Classifier,
    patches: Iterable[Patch],
    summary: TrainingSummary,
    report: EvaluationReport,
    deltas: tuple[DeltaSummary, ...],
    formats: tuple[FormatAgreement, ...],
) -> BundleCard:
    return BundleCard(
        name=config.name,
        config=config,
        **origin,
        training=summary,
        weights=weights_fingerprint(clean.state_dict()),
        parameters=sum(tensor.numel() for tensor in clean.parameters()),
        patches=describe_patches(patches),
        report=report,
        deltas=deltas,
        formats=formats,
    )


def _write(out: Path, clean: Classifier, store: Store, card: BundleCard) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with staged_folder(out) as folder:
        save_checkpoint(model_path(folder), clean)
        target = store_path(folder)
        target.mkdir()
        for name in _SHIPPED:
            source = store.root / name
            if source.is_dir():
                shutil.copytree(source, target / name)
            else:
                shutil.copy(source, target / name)
        write_card(folder, card)
