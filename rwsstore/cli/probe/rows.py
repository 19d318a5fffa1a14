"""What a probe declares, and the command that is made of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click

from rwsstore import data, files, models, probes, training
from rwsstore.bundled import BUNDLED
from rwsstore.cli import options as opt
from rwsstore.cli.output import report_options, write_found
from rwsstore.errors import ConfigError
from rwsstore.progress import ConsoleReporter


def kept_results(command: str, images: "data.ImageSet", **identity: Any) -> "files.Results":
    """Open what an interrupted run with the same settings measured; the caller deletes it.

    Args:
        command: its name.
        images: that are measured on.
        identity: what else the numbers depend on, as JSON values; a model by its weights.
    """
    import platformdirs

    from rwsstore.canonical import canonical_json, sha256_hex

    identity["images"] = training.images_digest(images)
    digest = sha256_hex(canonical_json(identity).encode())[:16]
    folder = platformdirs.user_cache_path("rwsstore", appauthor=False) / "probes"
    return files.Results(folder / f"{command}-{digest}.json", identity)


Option = Callable[[Any], Any]
"""A decorator, as `click.option` makes them."""

_unfolded_option = click.option(
    "--unfolded",
    is_flag=True,
    help="Leave BatchNorm as the checkpoint has it (OUT.unfolded.safetensors); otherwise it is "
    "folded into the layer before it.",
)


class Bench:
    """What a probe works on: loaded when it is asked for, so that settings can be refused before.

    Attributes:
        options: values of the probe's options, and of those that all probes have.
        progress: on standard error.
    """

    def __init__(self, probe: str, options: Mapping[str, Any]) -> None:
        self._probe, self.options = probe, options
        self.progress = ConsoleReporter()
        self._opened: list[files.Results] = []

    @cached_property
    def model(self) -> "models.Classifier":
        """What --model names, in evaluation mode, its BatchNorm folded unless --unfolded is given.

        Raises:
            ConfigError: the bundled model is asked for unfolded.
            RwsError: as `load_clean_model` and `load_checkpoint`.
        """
        options = self.options
        if not options["unfolded"]:
            return opt.load_model(options)
        if str(options["model_path"]) == BUNDLED:
            raise ConfigError(
                "the bundled model is folded: --unfolded needs a checkpoint (--model)"
            )
        return models.load_checkpoint(options["model_path"], spec=opt.spec_of(options))

    @property
    def layers(self) -> "tuple[str, ...] | None":
        """Names of those that --layers chooses; None without it."""
        chosen = self.options["layers"]
        return None if chosen is None else models.parse_layers(self.model, chosen)

    def images(self, *, split: Any = "test", **instead: Any) -> "data.ImageSet":
        """Load what --dataset, --limit and --seed name (or other values), labelled as the model."""
        options = {**self.options, **instead}
        return opt.load_labelled_images(options, self.model, self.progress, split=split)

    def results(self, images: "data.ImageSet", **identity: Any) -> "files.Results":
        """As `kept_results` of this probe and model; deleted at the end."""
        fingerprint = models.weights_fingerprint(self.model.state_dict())
        self._opened.append(kept_results(self._probe, images, model=fingerprint, **identity))
        return self._opened[-1]

    def finish(self) -> None:
        """Delete what was kept for another run."""
        for results in self._opened:
            results.forget()


@dataclass(frozen=True)
class Probe:
    """A row: what `rws probe NAME` is made of.

    Attributes:
        name: of the command.
        summary: a line for the list of probes.
        measure: the probe itself, its docstring the command's help; what it raises as RwsError is
            a message and an exit code.
        options: its own, in the order of the help; with --limit and --seed if it loads images.
        csv: what --csv writes, after "Also write".
        png: what --png draws, after "Also draw".
        pictures: their names, where it draws several; --png is the beginning of a path then.
        place: in the list of probes; equal ones are listed by name.
    """

    name: str
    summary: str
    measure: "Callable[[Bench], probes.Report]"
    options: tuple[Option, ...]
    csv: str
    png: str
    pictures: tuple[str, ...]
    place: int

    @cached_property
    def command(self) -> click.Command:
        """As click runs it."""

        def run(**options: Any) -> None:
            bench = Bench(self.name, options)
            write_found(options, lambda: self.measure(bench), self.pictures)
            bench.finish()

        run.__doc__ = self.measure.__doc__
        every = opt.several(
            opt.model_options,
            _unfolded_option,
            opt.dataset_option,
            *self.options,
            report_options(csv=self.csv, png=self.png, prefix=bool(self.pictures)),
        )
        return click.command(self.name, short_help=self.summary)(every(run))


PROBES: dict[str, Probe] = {}
"""Every probe that was declared, by name."""


def register(
    name: str,
    summary: str,
    *options: Option,
    csv: str,
    png: str,
    pictures: tuple[str, ...] = (),
    place: int = 100,
) -> "Callable[[Callable[[Bench], probes.Report]], Callable[[Bench], probes.Report]]":
    """Declare a probe by decorating what measures it; the arguments are those of `Probe`.

    Raises:
        ConfigError: there is a probe of that name already.
    """

    def add(measure: "Callable[[Bench], probes.Report]") -> "Callable[[Bench], probes.Report]":
        if name in PROBES:
            raise ConfigError(
                f"there is a probe {name!r} already, in {PROBES[name].measure.__module__}"
            )
        PROBES[name] = Probe(name, summary, measure, options, csv, png, pictures, place)
        return measure

    return add
