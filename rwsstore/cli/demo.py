"""`rws demo`: patches made in a minute, and the same model as a service, patched by the SDK."""

import importlib.util
import itertools
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rwsstore import corruptions, data, making, measure, models, runtime, store, training
from rwsstore.cli import options as opt
from rwsstore.cli.output import write_result
from rwsstore.cli.train import new_network
from rwsstore.errors import RwsError
from rwsstore.progress import ConsoleReporter

if TYPE_CHECKING:
    from torch import Tensor

_CORRUPTIONS = ("fog", "frost", "brightness", "contrast")
_SERVED = "fog"
_VALIDATION = 200
_SERVICE = ("fastapi", "uvicorn", "pydantic_settings", "rwsstore_client")
"""What a service and the SDK need."""

_SHADES = "█▓▒░ "
_COLUMNS, _ROWS = 32, 16


@click.command("demo")
@opt.seed_option()
@opt.json_option
def command(seed: int, as_json: bool) -> None:
    """Do the whole job on 1,797 embedded images of handwritten digits.

    Trains a small classifier, extracts a patch for each of four corruptions, publishes them in a
    temporary store, and measures accuracy with and without them on images it has not seen. Then
    serves the model, and patches it over REST with the Python SDK.
    Nothing is downloaded, nothing is left behind.
    """
    reporter = ConsoleReporter()
    train, validation = data.load_images("digits", "train").split_off(_VALIDATION, seed)
    test = data.load_images("digits", "test")
    # Digits are not mirrored: a mirrored 2 is no digit.
    config = training.TrainingConfig(epochs=10, batch_size=32, padding=2, flip=False, seed=seed)
    start = new_network(train, seed=seed, network="vgg16", width=0.125)
    clean = training.train_classifier(
        start, training.CleanRecipe(), train, validation, config, progress=reporter
    ).model
    robust = config.model_copy(update={"epochs": 6, "learning_rate": 0.02, "clip_norm": 1.0})
    extraction = making.ExtractionOptions(alphas=(0.5, 1.0), training=robust)
    options = measure.EvaluationOptions(bits=(8, 4), seed=seed)
    service, told = None, ["(not shown: the service; pip install 'rwsstore[service,remote]')"]
    with tempfile.TemporaryDirectory(prefix="rws-demo-") as folder:
        patches = store.Store(Path(folder) / "store")
        sweep = making.extract_all(
            clean, _CORRUPTIONS, train, validation, extraction, patches, progress=reporter
        )
        made = {one.patch.name: one.patch for one in sweep}
        report = measure.evaluate(clean, made, test, options, progress=reporter)
        exact = _comes_off_exactly(clean, patches, test)
        if all(importlib.util.find_spec(name) is not None for name in _SERVICE):
            with reporter.task("serving it, and patching it over REST", total=1) as task:
                service, told = _serve(clean, patches, test, Path(folder), seed)
                task.advance()
    came_back = "came back to the bit" if exact else "DID NOT COME BACK"
    write_result(
        as_json,
        {**report.to_dict(), "removal_exact": exact, "service": service},
        measure.report_table(report),
        f"put on and taken off again: the clean model's logits {came_back}",
        "",
        *told,
        "",
        "next: rws serve for the bundled CIFAR-10 model, rws train --help for your own",
    )


def _comes_off_exactly(
    clean: "models.Classifier", patches: "store.Store", test: "data.ImageSet"
) -> bool:
    """Put patches on and take them off again; are the logits those of before, to the bit?"""
    live = runtime.LiveModel(clean, patches)
    images = test.images[:64]
    before = live(images)
    live.apply("fog", 0.6)
    live.apply("contrast", 0.4)
    with_patches = live(images)
    live.clear()
    return before.equal(live(images)) and not before.equal(with_patches)


def _serve(
    clean: "models.Classifier",
    patches: "store.Store",
    test: "data.ImageSet",
    folder: Path,
    seed: int,
) -> tuple[dict[str, Any], list[str]]:
    """Start `rws serve`, patch it over REST, predict an image that the patch puts right, stop it.

    Returns:
        What happened: as JSON values, and for people, with the image in shades.
    """
    from rwsstore_client import Client

    images = corruptions.corrupt(test.images, _SERVED, 5, seed=seed)
    index, put_right = _telling(clean, patches, images, test.labels)
    picture = images[index].permute(1, 2, 0).contiguous().numpy()
    checkpoint = folder / "digits.safetensors"
    models.save_checkpoint(checkpoint, clean)
    token = secrets.token_urlsafe(32)
    with _service(checkpoint, patches.root, folder, token) as url, Client(url, token=token) as rws:
        model = rws.model("digits")
        before = model.predict(picture)
        model.patchset.apply(_SERVED)
        after = model.predict(picture)
        cleared = model.patchset.clear()
    shown = {"label", "probability"}
    without, patched = (
        {**answer.top1.model_dump(include=shown), "state_digest": answer.state_digest}
        for answer in (before, after)
    )
    served: dict[str, Any] = {
        "corruption": _SERVED,
        "truth": test.classes[int(test.labels[index])],
        "without": without,
        "patched": patched,
        "removal_exact": cleared.state_digest == before.state_digest,
        "put_right": put_right,
        "tested": len(images),
    }
    beside = itertools.zip_longest(_picture(images[index]), _story(served), fillvalue="")
    return served, [f"{one:{_COLUMNS}}  {other}".rstrip() for one, other in beside]


def _telling(
    clean: "models.Classifier", patches: "store.Store", images: "Tensor", labels: "Tensor"
) -> tuple[int, int]:
    """The image that the patch puts right most surely, and how many it puts right."""
    live = runtime.LiveModel(clean, patches)
    before = live(images).argmax(1)
    with live.patched({_SERVED: None}):
        after = live(images).softmax(1)
    right = (before != labels) & (after.argmax(1) == labels)
    if not bool(right.any()):
        raise RwsError(f"the patch for {_SERVED} puts no test image right")
    sure = after.max(1).values.masked_fill(~right, 0.0)
    return int(sure.argmax()), int(right.sum())


@contextmanager
def _service(model: Path, store: Path, folder: Path, token: str) -> Iterator[str]:
    """Run `rws serve` on a free port of this machine; gives its URL."""
    log = folder / "service.log"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name == "RWS_THREADS" or not name.startswith("RWS_")
    }
    environment |= {
        "RWS_MODEL": str(model),
        "RWS_MODEL_NAME": "digits",
        "RWS_STORE": str(store),
        "RWS_STATE": str(folder / "state"),
        "RWS_ADMIN_TOKENS": f"demo:{token}",
        "RWS_PORT": "0",
    }
    command = [sys.executable, "-m", "rwsstore", "serve"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)  # noqa: S603
    try:
        found = None
        while found is None:
            ended = process.poll() is not None
            text = log.read_text(errors="replace")
            found = re.search(r"listening on (http://\S+)", text)
            if ended and found is None:
                raise RwsError(f"rws serve did not start:\n{text}")
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def _story(served: Mapping[str, Any]) -> list[str]:
    truth, digests, guesses = served["truth"], [], []
    for guess in (served["without"], served["patched"]):
        digests.append(guess["state_digest"][:8])
        verdict = "right" if guess["label"] == truth else "WRONG"
        guesses.append(f"{guess['label']} ({guess['probability']:.0%})  {verdict}")
    back = "the clean state is back" if served["removal_exact"] else "THE CLEAN STATE IS NOT BACK"
    return [
        "",
        "",
        f"over REST: a {truth} under {_SERVED}, sent to rws serve",
        "",
        "  client = Client(url, token=...)",
        '  model = client.model("digits")',
        f"  model.predict(image)             {guesses[0]}",
        f'  model.patchset.apply("{_SERVED}")      state {digests[0]} -> {digests[1]}',
        f"  model.predict(image)             {guesses[1]}",
        f"  model.patchset.clear()           {back}",
        "",
        f"the patch puts {served['put_right']} of {served['tested']} such images right",
    ]


def _picture(image: "Tensor") -> list[str]:
    """An image in shades; a character is twice as high as it is wide."""
    import torch

    grey = image.float().mean(0)[None, None]
    small = torch.nn.functional.adaptive_avg_pool2d(grey, (_ROWS, _COLUMNS))[0, 0]
    steps = (small / 256 * len(_SHADES)).to(torch.int64)
    return ["".join(_SHADES[step] for step in row) for row in steps.tolist()]
