"""`rws demo`."""

__all__ = ["command"]

import tempfile
from pathlib import Path

import click
import torch

from rwsstore.cli.demo_service import Served, has_service, served_lines, try_service
from rwsstore.cli.options import json_option
from rwsstore.cli.output import write_json, write_lines, write_table
from rwsstore.data import ImageSet, load_images
from rwsstore.evaluation import EvaluationOptions, EvaluationReport, evaluate, report_table
from rwsstore.models import Classifier, ModelSpec, build
from rwsstore.progress import ConsoleReporter, Reporter
from rwsstore.runtime import LiveModel
from rwsstore.signatures import ExtractionOptions, extract_all
from rwsstore.store import Store
from rwsstore.training import CleanRecipe, TrainingConfig, pixel_statistics, train_classifier

_CORRUPTIONS = ("fog", "frost", "brightness", "contrast")
_SERVED = "fog"
_WIDTH = 0.125
_VALIDATION = 200


@click.command("demo", short_help="Train, patch and compare on embedded digits, in two minutes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@json_option
def command(seed: int, as_json: bool) -> None:
    """Do the whole job on 1,797 embedded images of handwritten digits.

    Trains a small classifier, extracts a patch for each of four corruptions, publishes them in a
    temporary store, and measures accuracy with and without them on images it has not seen. Then
    serves the model, and patches it over REST with the Python SDK.
    Nothing is downloaded, nothing is left behind.
    """
    reporter = ConsoleReporter()
    train, validation = load_images("digits", "train").split_off(_VALIDATION, seed)
    test = load_images("digits", "test")
    clean = _train(train, validation, seed, reporter)
    with tempfile.TemporaryDirectory(prefix="rws-demo-") as folder:
        store = Store(Path(folder) / "store")
        _extract(clean, train, validation, store, seed, reporter)
        patches = {name: store.get(name) for name in _CORRUPTIONS}
        options = EvaluationOptions(bits=(8, 4), seed=seed)
        report = evaluate(clean, patches, test, options, progress=reporter)
        exact = _comes_off_exactly(clean, store, test)
        served = _serve(clean, store, test, Path(folder), seed, reporter)
    if as_json:
        service = None if served is None else served.to_dict()
        write_json({**report.to_dict(), "removal_exact": exact, "service": service})
    else:
        _tell(report, exact, served)


def _train(train: ImageSet, validation: ImageSet, seed: int, reporter: Reporter) -> Classifier:
    mean, std = pixel_statistics(train)
    spec = ModelSpec(
        network="vgg16",
        num_classes=len(train.classes),
        classes=train.classes,
        width=_WIDTH,
        input_size=int(train.images.shape[-1]),
        mean=mean,
        std=std,
    )
    # Digits are not mirrored: a mirrored 2 is no digit.
    config = TrainingConfig(epochs=10, batch_size=32, padding=2, flip=False, seed=seed)
    run = train_classifier(
        build(spec, seed=seed), CleanRecipe(), train, validation, config, progress=reporter
    )
    return run.model


def _extract(
    clean: Classifier,
    train: ImageSet,
    validation: ImageSet,
    store: Store,
    seed: int,
    reporter: Reporter,
) -> None:
    training = TrainingConfig(
        epochs=6, batch_size=32, learning_rate=0.02, padding=2, flip=False, clip_norm=1.0, seed=seed
    )
    options = ExtractionOptions(alphas=(0.5, 1.0), training=training)
    for _ in extract_all(clean, _CORRUPTIONS, train, validation, options, store, progress=reporter):
        pass


def _comes_off_exactly(clean: Classifier, store: Store, test: ImageSet) -> bool:
    """Put patches on and take them off again; are the logits those of before, to the bit?"""
    live = LiveModel(clean, store)
    images = test.images[:64]
    before = live(images)
    live.apply("fog", 0.6)
    live.apply("contrast", 0.4)
    with_patches = live(images)
    live.clear()
    return torch.equal(before, live(images)) and not torch.equal(before, with_patches)


def _serve(
    clean: Classifier, store: Store, test: ImageSet, folder: Path, seed: int, reporter: Reporter
) -> Served | None:
    if not has_service():
        return None
    with reporter.task("serving it, and patching it over REST", total=1) as task:
        served = try_service(clean, store, test, _SERVED, folder, seed=seed)
        task.advance()
    return served


def _tell(report: EvaluationReport, exact: bool, served: Served | None) -> None:
    write_table(report_table(report))
    came_back = "came back to the bit" if exact else "DID NOT COME BACK"
    write_lines([f"put on and taken off again: the clean model's logits {came_back}", ""])
    if served is None:
        write_lines(["(not shown: the service; pip install 'rwsstore[service,remote]')"])
    else:
        write_lines(served_lines(served))
    write_lines(
        ["", "next: rws serve for the bundled CIFAR-10 model, rws train --help for your own"]
    )
