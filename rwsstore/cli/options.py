"""Options that several commands share, and what they stand for."""

__all__ = [
    "DATASET_HELP",
    "dataset_option",
    "json_option",
    "limit_option",
    "load_model",
    "load_test_images",
    "model_options",
    "network_options",
    "open_store",
    "read_model",
    "severities",
    "severity_steps",
    "spec_of",
    "store_option",
    "transfer_option",
]

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from rwsstore.bundled import BUNDLED, bundled_model, bundled_store
from rwsstore.corruptions.severity import check_severity
from rwsstore.data import ImageSet, load_images, match_classes
from rwsstore.errors import ConfigError
from rwsstore.models import Classifier, ModelSpec, load_clean_model
from rwsstore.progress import Reporter
from rwsstore.store import Store, default_store_path

_Command = Callable[..., Any]

json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")

store_option = click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path),
    help="Folder of the store, alone; or bundled: what comes with rwsstore, alone. Default: "
    "$RWS_STORE, else the platform's data directory, with the bundled patches beneath.",
)

DATASET_HELP = (
    "digits, cifar10:PATH, cifar100:PATH, or imagefolder:PATH (one folder a class, or train/ "
    "and test/ of that form)."
)

dataset_option = click.option("--dataset", required=True, metavar="NAME[:PATH]", help=DATASET_HELP)

limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Use only so many images, chosen by seed, as many of each class.",
)

transfer_option = click.option(
    "--allow-transfer",
    is_flag=True,
    help="Accept patches that were extracted from other clean weights of the same architecture.",
)

_SPEC_OPTIONS = (
    click.option("--network", help="Network of a checkpoint that does not say it: vgg16, ..."),
    click.option("--num-classes", type=click.IntRange(min=2), help="Its number of classes."),
    click.option("--width", type=float, help="Its width factor."),
    click.option("--batch-norm/--no-batch-norm", default=None, help="Whether it has BatchNorm."),
    click.option("--input-size", type=click.IntRange(min=1), help="Height and width in pixels."),
    click.option("--mean", type=(float, float, float), help="Its normalization's mean, 0 to 1."),
    click.option("--std", type=(float, float, float), help="Its standard deviation, 0 to 1."),
)


_SPEC_NAMES = ("network", "num_classes", "width", "batch_norm", "input_size", "mean", "std")


def network_options(command: _Command) -> _Command:
    """Add what describes a checkpoint that was made elsewhere."""
    for option in reversed(_SPEC_OPTIONS):
        command = option(command)
    return command


def model_options(command: _Command) -> _Command:
    """Add --model and what describes a checkpoint that was made elsewhere."""
    return click.option(
        "--model",
        "model_path",
        type=click.Path(path_type=Path),
        default=BUNDLED,
        show_default=True,
        help="Checkpoint: .safetensors, or .pth with a state dict, its BatchNorm folded on "
        "loading; or bundled: the CIFAR-10 classifier that comes with rwsstore.",
    )(network_options(command))


def load_model(options: Mapping[str, Any]) -> Classifier:
    """Load the clean model that the values of `model_options` name."""
    return read_model(options["model_path"], spec_of(options))


def read_model(path: Path, spec: ModelSpec | None = None) -> Classifier:
    """Load a clean model from a checkpoint, or the bundled one.

    Raises:
        ConfigError: a specification for the bundled model, which needs none.
        RwsError: as `load_clean_model`.
    """
    if str(path) != BUNDLED:
        return load_clean_model(path, spec=spec)
    if spec is not None:
        raise ConfigError(
            "the bundled model says itself what it is: leave --network and its like out, or name "
            "a checkpoint (--model)"
        )
    return bundled_model()


def spec_of(options: Mapping[str, Any]) -> ModelSpec | None:
    """Make a specification of what was given; None where nothing was."""
    given = {name: options[name] for name in _SPEC_NAMES if options[name] is not None}
    if not given:
        return None
    if "network" not in given or "num_classes" not in given:
        raise ConfigError(
            f"{', '.join('--' + name.replace('_', '-') for name in given)}: a checkpoint that "
            "does not describe itself needs --network and --num-classes"
        )
    return ModelSpec(**given)


def load_test_images(options: Mapping[str, Any], model: Classifier, progress: Reporter) -> ImageSet:
    """Load the test images that --dataset, --limit and --seed name, labelled as the model's."""
    images = load_images(options["dataset"], "test", size=model.spec.input_size, progress=progress)
    if options["limit"] and options["limit"] < len(images):
        images = images.limit(options["limit"], options["seed"])
    return match_classes(images, model.spec.classes, num_classes=model.spec.num_classes)


def open_store(path: Path | None) -> Store:
    """Open the store that was named, or the default one over the bundled patches."""
    if path is None:
        return Store(default_store_path(), base=bundled_store())
    return bundled_store() if str(path) == BUNDLED else Store(path)


def severities(text: str) -> tuple[int, ...]:
    """Read `5`, `3,5` or `1-5`.

    Raises:
        ConfigError: that is not a list of severities from 1 to 5.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = [first, last] if dash else [first, first]
        if not all(end.isdecimal() and 1 <= int(end) <= 5 for end in ends):
            raise ConfigError(f"severity {text!r}; expected 1 to 5, as in 5, 3,5 or 1-5")
        numbers += range(int(ends[0]), int(ends[1]) + 1)
    if not numbers or len(set(numbers)) != len(numbers):
        raise ConfigError(f"severity {text!r} is empty or names one twice")
    return tuple(numbers)


def severity_steps(text: str) -> tuple[float, ...]:
    """Read `5`, `3,5` or `1-5`, as `severities` does, and steps in between: `2.5` or `1,1.5,2`.

    Raises:
        ConfigError: that is not a list of severities from 1 to 5.
    """
    steps: list[float] = []
    for part in text.split(","):
        if "." in part:
            steps.append(_fraction(part))
        else:
            steps += severities(part)
    if len(set(steps)) != len(steps):
        raise ConfigError(f"severity {text!r} names one twice")
    return tuple(steps)


def _fraction(text: str) -> float:
    try:
        return check_severity(float(text))
    except ValueError:
        raise ConfigError(f"severity {text!r}; expected 1 to 5, as in 2.5 or 1-5") from None
