"""Options that several commands share, and what they stand for.

Every module of commands is imported for a --help too. So it names packages of rwsstore as a whole,
which load what is taken from them when a command runs, and of torch it knows nothing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from rwsstore import data, models, patches, store
from rwsstore.bundled import BUNDLED, bundled_model, bundled_store
from rwsstore.corruptions.rows import ROWS, check_severity, severity_table
from rwsstore.errors import ConfigError
from rwsstore.progress import Reporter

_Command = TypeVar("_Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


def several(*options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """Make one decorator of several options, which --help lists in this order."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def seed_option(
    of: str | None = None, *, most: int | None = None
) -> Callable[[_Command], _Command]:
    """Make --seed, 0 by default and at most so large; its help says of what it is."""
    kind = click.IntRange(0, most)
    return click.option("--seed", type=kind, default=0, help=of)


def corruption_option(what: str) -> Callable[[_Command], _Command]:
    """Make --corruption, the name of one; its help says what for."""
    names = sorted({*severity_table("cifar").numbers, *ROWS})
    return click.option("--corruption", type=click.Choice(names), metavar="NAME", help=what)


json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")

store_option = click.option(
    "--store",
    "store_path",
    type=PATH,
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

frost_option = click.option(
    "--frost-overlays",
    type=PATH,
    help="Folder of frost photographs; without it frost is synthetic.",
)

network_options = several(
    click.option("--network", help="Network of a checkpoint that does not say it: vgg16, ..."),
    click.option("--num-classes", type=click.IntRange(min=2), help="Its number of classes."),
    click.option("--width", type=float, help="Its width factor."),
    click.option("--batch-norm/--no-batch-norm", default=None, help="Whether it has BatchNorm."),
    click.option("--input-size", type=click.IntRange(min=1), help="Height and width in pixels."),
    click.option("--mean", type=(float, float, float), help="Its normalization's mean, 0 to 1."),
    click.option("--std", type=(float, float, float), help="Its standard deviation, 0 to 1."),
)
"""What describes a checkpoint that was made elsewhere."""

model_options = several(
    click.option(
        "--model",
        "model_path",
        type=PATH,
        default=BUNDLED,
        help="Checkpoint: .safetensors, or .pth with a state dict, its BatchNorm folded on "
        "loading; or bundled: the CIFAR-10 classifier that comes with rwsstore.",
    ),
    network_options,
)


def given(*names: str) -> list[str]:
    """Those of some parameters that stand on the command line, as the options that they are."""
    context = click.get_current_context()
    called = {param.name: param.opts[0] for param in context.command.params}
    return [
        called[name]
        for name in names
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]


def load_model(options: Mapping[str, Any]) -> "models.Classifier":
    """Load the clean model that the values of `model_options` name."""
    return read_model(options["model_path"], spec_of(options))


def read_model(path: Path, spec: "models.ModelSpec | None" = None) -> "models.Classifier":
    """Load a clean model from a checkpoint, or the bundled one.

    Raises:
        ConfigError: a specification for the bundled model, which needs none.
    """
    if str(path) != BUNDLED:
        return models.load_clean_model(path, spec=spec)
    if spec is not None:
        raise ConfigError(
            "the bundled model says itself what it is: leave --network and its like out, or name "
            "a checkpoint (--model)"
        )
    return bundled_model()


def spec_of(options: Mapping[str, Any]) -> "models.ModelSpec | None":
    """Make a specification of the values of `network_options`; None where nothing was given."""
    names = ("network", "num_classes", "width", "batch_norm", "input_size", "mean", "std")
    found = {name: options[name] for name in names if options[name] is not None}
    if not found:
        return None
    if "network" not in found or "num_classes" not in found:
        raise ConfigError(
            f"{', '.join('--' + name.replace('_', '-') for name in found)}: a checkpoint that "
            "does not describe itself needs --network and --num-classes"
        )
    return models.ModelSpec(**found)


def load_labelled_images(
    options: Mapping[str, Any],
    model: "models.Classifier",
    progress: Reporter,
    *,
    split: "data.Split" = "test",
) -> "data.ImageSet":
    """Load the images that --dataset, --limit and --seed name, labelled as the model's."""
    spec, limit = model.spec, options["limit"]
    images = data.load_images(options["dataset"], split, size=spec.input_size, progress=progress)
    if limit and limit < len(images):
        images = images.limit(limit, options["seed"])
    return data.match_classes(images, spec.classes, num_classes=spec.num_classes)


def open_store(path: Path | None) -> "store.Store":
    """Open the store that was named, or the default one over the bundled patches."""
    if path is None:
        return store.Store(store.default_store_path(), base=bundled_store())
    return bundled_store() if str(path) == BUNDLED else store.Store(path)


def fitting_store(path: Path | None, model: "models.Classifier") -> "store.FittingStore":
    """Open the store that was named, or the default one, as one model sees it."""
    return store.FittingStore(open_store(path), patches.identify(model.state_dict()))


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
    """Read `5`, `3,5` or `1-5`, and steps in between: `2.5` or `1,1.5,2`.

    Raises:
        ConfigError: that is not a list of severities from 1 to 5.
    """
    steps: list[float] = []
    for part in text.split(","):
        if "." not in part:
            steps += severities(part)
            continue
        try:
            steps.append(check_severity(float(part)))
        except ValueError:
            raise ConfigError(f"severity {part!r}; expected 1 to 5, as in 2.5 or 1-5") from None
    if len(set(steps)) != len(steps):
        raise ConfigError(f"severity {text!r} names one twice")
    return tuple(steps)
