"""`rws demo`: patches made in a minute, and the same model as a service, patched by the SDK."""

import importlib.util
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rwsstore import corruptions, data, measure, models, runtime, training
from rwsstore.cli.options import json_option, seed_option
from rwsstore.cli.output import write_json, write_lines, write_table
from rwsstore.errors import RwsError
from rwsstore.progress import ConsoleReporter, Reporter

if TYPE_CHECKING:
    from torch import Tensor

    from rwsstore.data import ImageSet
    from rwsstore.measure import EvaluationReport
    from rwsstore.models import Classifier
    from rwsstore.store import Store
    from rwsstore_client import Label

_LISTENING = re.compile(r"listening on (http://\S+)")
_SHADES = "█▓▒░ "
_COLUMNS, _ROWS = 32, 16


@dataclass(frozen=True)
class Guess:
    """What the service took an image for."""

    label: str
    probability: float
    state_digest: str


@dataclass(frozen=True)
class Served:
    """One corrupted image, predicted by the service without and with its patch.

    Attributes:
        corruption: on the image; its patch has the same name.
        truth: what it shows.
        without: the patch.
        patched: with the patch on.
        removal_exact: whether the state digest of the clean model came back.
        changed: test images that the patch puts right.
        tested: test images.
        image: uint8 [3, H, W], as it was sent.
    """

    corruption: str
    truth: str
    without: Guess
    patched: Guess
    removal_exact: bool
    changed: int
    tested: int
    image: "Tensor" = field(repr=False)

    def to_dict(self) -> dict[str, object]:
        """As JSON values, without the image."""
        return {
            "corruption": self.corruption,
            "truth": self.truth,
            "without": vars(self.without),
            "patched": vars(self.patched),
            "removal_exact": self.removal_exact,
            "put_right": self.changed,
            "tested": self.tested,
        }


def has_service() -> bool:
    """Whether the service and the SDK are installed."""
    names = ("fastapi", "uvicorn", "pydantic_settings", "rwsstore_client")
    return all(importlib.util.find_spec(name) is not None for name in names)


def try_service(
    clean: "Classifier",
    store: "Store",
    test: "ImageSet",
    corruption: str,
    folder: Path,
    *,
    seed: int,
) -> Served:
    """Start `rws serve` on a model and its store, patch it over REST, predict, and stop it.

    Args:
        clean: the clean model.
        store: its patches.
        test: images to choose one from.
        corruption: whose patch is shown.
        folder: for the model's file, the service's state and its log.
        seed: of the corruption.

    Raises:
        RwsError: the service did not start.
    """
    from rwsstore_client import Client

    images = corruptions.corrupt(test.images, corruption, 5, seed=seed)
    index, changed = _telling(clean, store, images, test.labels, corruption)
    picture = images[index].permute(1, 2, 0).contiguous().numpy()
    checkpoint = folder / "digits.safetensors"
    models.save_checkpoint(checkpoint, clean)
    token = secrets.token_urlsafe(32)
    with _service(checkpoint, store.root, folder, token) as url, Client(url, token=token) as rws:
        model = rws.model("digits")
        before = model.predict(picture)
        model.patchset.apply(corruption)
        after = model.predict(picture)
        cleared = model.patchset.clear()
    return Served(
        corruption=corruption,
        truth=test.classes[int(test.labels[index])],
        without=_guess(before.top1, before.state_digest),
        patched=_guess(after.top1, after.state_digest),
        removal_exact=cleared.state_digest == before.state_digest,
        changed=changed,
        tested=len(images),
        image=images[index],
    )


def served_lines(served: Served) -> list[str]:
    """What happened, with the image in shades."""
    without, patched = served.without, served.patched
    story = [
        f"over REST: a {served.truth} under {served.corruption}, sent to rws serve",
        "",
        "  client = Client(url, token=...)",
        '  model = client.model("digits")',
        f"  model.predict(image)             {_shown(without, served.truth)}",
        f'  model.patchset.apply("{served.corruption}")'.ljust(35)
        + f"state {without.state_digest[:8]} -> {patched.state_digest[:8]}",
        f"  model.predict(image)             {_shown(patched, served.truth)}",
        "  model.patchset.clear()           "
        + ("the clean state is back" if served.removal_exact else "THE CLEAN STATE IS NOT BACK"),
        "",
        f"the patch puts {served.changed} of {served.tested} such images right",
    ]
    left = _picture(served.image)
    right = ["", "", *story]
    right += [""] * (len(left) - len(right))
    left += [" " * _COLUMNS] * (len(right) - len(left))
    return [f"{one}  {other}".rstrip() for one, other in zip(left, right, strict=True)]


def _telling(
    clean: "Classifier", store: "Store", images: "Tensor", labels: "Tensor", corruption: str
) -> tuple[int, int]:
    """The image that the patch puts right most surely, and how many it puts right."""
    import torch

    live = runtime.LiveModel(clean, store)
    before = live(images).argmax(1)
    with live.patched({corruption: None}):
        after = live(images).softmax(1)
    right = (before != labels) & (after.argmax(1) == labels)
    if not bool(right.any()):
        raise RwsError(f"the patch for {corruption} puts no test image right")
    sure = torch.where(right, after.max(1).values, torch.zeros(len(labels)))
    return int(sure.argmax()), int(right.sum())


@contextmanager
def _service(model: Path, store: Path, folder: Path, token: str) -> Iterator[str]:
    """Run `rws serve` on a free port of this machine; gives its URL."""
    log = folder / "service.log"
    environment = {
        **_without_settings(os.environ),
        "RWS_MODEL": str(model),
        "RWS_MODEL_NAME": "digits",
        "RWS_STORE": str(store),
        "RWS_STATE": str(folder / "state"),
        "RWS_ADMIN_TOKENS": f"demo:{token}",
        "RWS_PORT": "0",
    }
    if "RWS_THREADS" in os.environ:
        environment["RWS_THREADS"] = os.environ["RWS_THREADS"]
    command = [sys.executable, "-m", "rwsstore", "serve"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)  # noqa: S603
    try:
        yield _url(process, log)
    finally:
        process.terminate()
        process.wait()


def _url(process: "subprocess.Popen[bytes]", log: Path) -> str:
    while True:
        ended = process.poll() is not None
        text = log.read_text(errors="replace")
        found = _LISTENING.search(text)
        if found:
            return found[1]
        if ended:
            raise RwsError(f"rws serve did not start:\n{text}")
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue


def _without_settings(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not name.startswith("RWS_")}


def _guess(top: "Label", state_digest: str) -> Guess:
    return Guess(top.label, top.probability, state_digest)


def _shown(guess: Guess, truth: str) -> str:
    verdict = "right" if guess.label == truth else "WRONG"
    return f"{guess.label} ({guess.probability:.0%})  {verdict}"


def _picture(image: "Tensor") -> list[str]:
    """An image in shades; a character is twice as high as it is wide."""
    import torch

    grey = image.float().mean(0)[None, None]
    small = torch.nn.functional.adaptive_avg_pool2d(grey, (_ROWS, _COLUMNS))[0, 0]
    steps = (small / 256 * len(_SHADES)).to(torch.int64)
    return ["".join(_SHADES[step] for step in row) for row in steps.tolist()]


_CORRUPTIONS = ("fog", "frost", "brightness", "contrast")
_SERVED = "fog"
_WIDTH = 0.125
_VALIDATION = 200


@click.command("demo", short_help="Train, patch and compare on embedded digits, in two minutes.")
@seed_option()
@json_option
def command(seed: int, as_json: bool) -> None:
    """Do the whole job on 1,797 embedded images of handwritten digits.

    Trains a small classifier, extracts a patch for each of four corruptions, publishes them in a
    temporary store, and measures accuracy with and without them on images it has not seen. Then
    serves the model, and patches it over REST with the Python SDK.
    Nothing is downloaded, nothing is left behind.
    """
    from rwsstore.store import Store

    reporter = ConsoleReporter()
    train, validation = data.load_images("digits", "train").split_off(_VALIDATION, seed)
    test = data.load_images("digits", "test")
    clean = _train(train, validation, seed, reporter)
    with tempfile.TemporaryDirectory(prefix="rws-demo-") as folder:
        store = Store(Path(folder) / "store")
        _extract(clean, train, validation, store, seed, reporter)
        patches = {name: store.get(name) for name in _CORRUPTIONS}
        options = measure.EvaluationOptions(bits=(8, 4), seed=seed)
        report = measure.evaluate(clean, patches, test, options, progress=reporter)
        exact = _comes_off_exactly(clean, store, test)
        served = _serve(clean, store, test, Path(folder), seed, reporter)
    if as_json:
        service = None if served is None else served.to_dict()
        write_json({**report.to_dict(), "removal_exact": exact, "service": service})
    else:
        _tell(report, exact, served)


def _train(
    train: "ImageSet", validation: "ImageSet", seed: int, reporter: Reporter
) -> "Classifier":
    mean, std = training.pixel_statistics(train)
    spec = models.ModelSpec(
        network="vgg16",
        num_classes=len(train.classes),
        classes=train.classes,
        width=_WIDTH,
        input_size=int(train.images.shape[-1]),
        mean=mean,
        std=std,
    )
    # Digits are not mirrored: a mirrored 2 is no digit.
    config = training.TrainingConfig(epochs=10, batch_size=32, padding=2, flip=False, seed=seed)
    start, recipe = models.build(spec, seed=seed), training.CleanRecipe()
    run = training.train_classifier(start, recipe, train, validation, config, progress=reporter)
    return run.model


def _extract(
    clean: "Classifier",
    train: "ImageSet",
    validation: "ImageSet",
    store: "Store",
    seed: int,
    reporter: Reporter,
) -> None:
    from rwsstore.making import ExtractionOptions, extract_all

    config = training.TrainingConfig(
        epochs=6, batch_size=32, learning_rate=0.02, padding=2, flip=False, clip_norm=1.0, seed=seed
    )
    options = ExtractionOptions(alphas=(0.5, 1.0), training=config)
    for _ in extract_all(clean, _CORRUPTIONS, train, validation, options, store, progress=reporter):
        pass


def _comes_off_exactly(clean: "Classifier", store: "Store", test: "ImageSet") -> bool:
    """Put patches on and take them off again; are the logits those of before, to the bit?"""
    import torch

    live = runtime.LiveModel(clean, store)
    images = test.images[:64]
    before = live(images)
    live.apply("fog", 0.6)
    live.apply("contrast", 0.4)
    with_patches = live(images)
    live.clear()
    return torch.equal(before, live(images)) and not torch.equal(before, with_patches)


def _serve(
    clean: "Classifier",
    store: "Store",
    test: "ImageSet",
    folder: Path,
    seed: int,
    reporter: Reporter,
) -> Served | None:
    if not has_service():
        return None
    with reporter.task("serving it, and patching it over REST", total=1) as task:
        served = try_service(clean, store, test, _SERVED, folder, seed=seed)
        task.advance()
    return served


def _tell(report: "EvaluationReport", exact: bool, served: Served | None) -> None:
    write_table(measure.report_table(report))
    came_back = "came back to the bit" if exact else "DID NOT COME BACK"
    write_lines([f"put on and taken off again: the clean model's logits {came_back}", ""])
    if served is None:
        write_lines(["(not shown: the service; pip install 'rwsstore[service,remote]')"])
    else:
        write_lines(served_lines(served))
    write_lines(
        ["", "next: rws serve for the bundled CIFAR-10 model, rws train --help for your own"]
    )
