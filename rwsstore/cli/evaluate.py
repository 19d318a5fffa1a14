"""`rws evaluate`, and what `--attacks` makes of it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rwsstore import corruptions, measure, models
from rwsstore.canonical import key_part
from rwsstore.cli.options import (
    dataset_option,
    fitting_store,
    frost_option,
    given,
    limit_option,
    load_labelled_images,
    load_model,
    model_options,
    open_store,
    read_model,
    seed_option,
    several,
    severities,
    store_option,
    transfer_option,
)
from rwsstore.cli.output import check_outputs, report_options, write_report
from rwsstore.cli.probe.shared import kept_results
from rwsstore.errors import ConfigError
from rwsstore.measure import adversarial
from rwsstore.patches import BIT_WIDTHS
from rwsstore.progress import ConsoleReporter

if TYPE_CHECKING:
    from torch import nn

    from rwsstore.models import Classifier, ModelSpec
    from rwsstore.patches import ModelIdentity, Patch

_CLEAN = "clean"
"""What the model itself is called in the report."""

_BUDGETS = "1/255,2/255,4/255,8/255 for linf; 0.125,0.25,0.5,1 for l2"

attack_options = several(
    click.option(
        "--attacks",
        metavar="NAMES",
        help="Attack the images instead of corrupting them: standard (fgsm,pgd10,pgd20x5,apgd), or "
        "names: pgd20x5 is PGD with 20 steps and 5 restarts.",
    ),
    click.option(
        "--epsilon",
        metavar="NUMBERS",
        help=f"Budgets of the attacks: 8/255, or 0.01,0.03. Default: {_BUDGETS}.",
    ),
    click.option(
        "--norm",
        type=click.Choice(["linf", "l2"]),
        default="linf",
        show_default=True,
        help="Of the budgets: largest change of a value, or Euclidean over the whole image.",
    ),
    click.option(
        "--patch",
        "patchsets",
        multiple=True,
        metavar="NAME[=ALPHA][,...]",
        help="Also attack the model with these patches on; repeated, each is a model of its own.",
    ),
    click.option(
        "--against",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Also attack this checkpoint, and try every model's perturbations on all others; may "
        "be repeated.",
    ),
)
"""What an evaluation under attack takes."""

_WITH_ATTACKS = ("epsilon", "norm", "patchsets", "against")
_WITHOUT_ATTACKS = ("corruptions", "severity_text", "bits", "frost_overlays", "rival")
_WITH_PATCH = ("store_path", "allow_transfer")


def check_together(options: Mapping[str, Any]) -> None:
    """Refuse options that would do nothing.

    Raises:
        ConfigError: an option that goes with --attacks is there without it, one that does not is
            there with it, or one that goes with --patch is there without a patch.
    """
    if options["attacks"] is None:
        for option in given(*_WITH_ATTACKS):
            raise ConfigError(f"{option} goes with --attacks")
        return
    for option in given(*_WITHOUT_ATTACKS):
        raise ConfigError(f"{option} does not go with --attacks, which corrupts nothing")
    if not options["patchsets"]:
        for option in given(*_WITH_PATCH):
            raise ConfigError(f"{option} goes, under --attacks, with --patch")


def evaluate_under_attack(options: Mapping[str, Any]) -> None:
    """Attack the models that the options name, and write what came of it."""
    norm, budgets = options["norm"], adversarial.DEFAULT_BUDGETS[options["norm"]]
    if options["epsilon"] is not None:
        budgets = adversarial.parse_budgets(options["epsilon"])
    settings = adversarial.AdversarialOptions(
        epsilons=budgets,
        seed=options["seed"],
        resamples=options["resamples"],
    )
    attacks = adversarial.parse_attacks(options["attacks"], settings.epsilons[-1], norm)
    model = load_model(options)
    subjects = _distinct([(_CLEAN, model), *_patched(model, options), *_others(model, options)])
    reporter = ConsoleReporter()
    images = load_labelled_images(options, model, reporter)
    results = kept_results(
        "attacks",
        images,
        models={
            name: models.weights_fingerprint(one.state_dict()) for name, one in subjects.items()
        },
        attacks={name: key_part(attack.name, asdict(attack)) for name, attack in attacks.items()},
        epsilons=list(settings.epsilons),
        seed=settings.seed,
        batch_size=settings.batch_size,
    )
    report = adversarial.evaluate_attacks(
        subjects, attacks, images, settings, results=results, progress=reporter
    )
    write_report(report, options, table=adversarial.attack_table, plot=adversarial.plot_attacks)
    results.forget()


def _patched(model: "Classifier", options: Mapping[str, Any]) -> "list[tuple[str, nn.Module]]":
    """The model with each patch set on, by how it was written."""
    from rwsstore.patches import parse_request
    from rwsstore.runtime import LiveModel

    if not options["patchsets"]:
        return []
    store = fitting_store(options["store_path"], model)
    live = LiveModel(model, store, allow_transfer=options["allow_transfer"])
    found = []
    for text in options["patchsets"]:
        variant = live.variant(parse_request(text))
        if not variant.patches:
            raise ConfigError(f"--patch {text!r} is the clean model, which is attacked anyway")
        found.append((text.replace(" ", ""), variant.module))
    return found


def _others(model: "Classifier", options: Mapping[str, Any]) -> "list[tuple[str, nn.Module]]":
    """The other checkpoints, by the names of their files."""
    found: list[tuple[str, nn.Module]] = []
    for path in options["against"]:
        other = read_model(path)
        _check_alike(model.spec, other.spec, path)
        found.append((path.name.removesuffix(path.suffix), other))
    return found


def _check_alike(model: "ModelSpec", other: "ModelSpec", path: Path) -> None:
    """See that two models take the same images and mean the same by their outputs."""
    if other.input_size != model.input_size:
        raise ConfigError(
            f"--against {path} takes images of {other.input_size} pixels, the model "
            f"{model.input_size}; expected the same"
        )
    named = bool(other.classes and model.classes)
    if other.num_classes != model.num_classes or (named and other.classes != model.classes):
        raise ConfigError(
            f"--against {path} has other classes than the model; expected the same, in the same "
            "order"
        )


def _distinct(subjects: "Iterable[tuple[str, nn.Module]]") -> "dict[str, nn.Module]":
    found: dict[str, nn.Module] = {}
    for name, model in subjects:
        if name in found:
            raise ConfigError(f"two models are called {name!r}; give each once, or rename a file")
        found[name] = model
    return found


@click.command("evaluate", short_help="Measure accuracy with and without patches.")
@model_options
@store_option
@dataset_option
@click.option(
    "--corruptions",
    help="all, a group (noise, blur, weather, digital), or names: fog,snow. Default: those that "
    "the store has a patch for. In all and groups, one without a patch counts as not recovered.",
)
@click.option(
    "--severity",
    "severity_text",
    default="5",
    show_default=True,
    help="5, 3,5 or 1-5; the mean is reported, and each.",
)
@click.option(
    "--bits",
    type=click.Choice([str(bits) for bits in BIT_WIDTHS]),
    multiple=True,
    help="Quantize the patches to so many bits again; may be repeated. Default: as stored.",
)
@limit_option
@seed_option("Of the limit, the corruptions, the attacks and the resamples.")
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Draws of the images behind the 95 % bootstrap intervals, 40 or more; 0: no intervals.",
)
@frost_option
@click.option(
    "--rival",
    type=click.Path(path_type=Path),
    help="The network before folding (OUT.unfolded.safetensors): compare with BatchNorm "
    "re-estimated on the test stream.",
)
@transfer_option
@attack_options
@report_options(
    csv="a row for each corruption and severity, or for each accuracy under attack",
    png="the accuracies",
)
def command(**options: Any) -> None:
    """Measure TA and RA of the clean model, and of the clean model with each corruption's patch.

    The corrupted images follow from the seed alone. Which patch is put on for which corruption is
    an oracle's choice: the one that was made for it.

    With --attacks instead: accuracy under attacks on the images, the worst case of each image, and
    which attacks transfer from one model to another. An interrupted run goes on where it was when
    the same command is given again.

    \b
    Examples:
      rws evaluate --model clean.safetensors --dataset imagefolder:cifar10/test --bits 8 --bits 4
      rws evaluate --dataset imagefolder:cifar10/test --attacks standard --patch fog=0.5 --limit 500
    """
    check_together(options)
    check_outputs(options)
    if options["attacks"] is None:
        _evaluate_patches(options)
    else:
        evaluate_under_attack(options)


def _evaluate_patches(options: dict[str, Any]) -> None:
    from rwsstore.patches import identify

    model = load_model(options)
    rival = None if options["rival"] is None else models.load_checkpoint(options["rival"])
    patches = _patches(options, identify(model.state_dict()))
    settings = measure.EvaluationOptions(
        severities=severities(options["severity_text"]),
        bits=_widths(options["bits"]),
        seed=options["seed"],
        frost_overlays=options["frost_overlays"],
        resamples=options["resamples"],
    )
    for patch in filter(None, patches.values()):  # refused before the images are read
        for bits in settings.bits:
            patch.at_bits(bits)
    reporter = ConsoleReporter()
    images = load_labelled_images(options, model, reporter)
    report = measure.evaluate(
        model,
        patches,
        images,
        settings,
        rival=rival,
        allow_transfer=options["allow_transfer"],
        progress=reporter,
    )
    write_report(report, options, table=measure.report_table, plot=measure.plot_report)


def _patches(options: dict[str, Any], model: "ModelIdentity") -> "Mapping[str, Patch | None]":
    """Each corruption's patch; one that is named must have one, the rest of a group need not."""
    store, chosen = open_store(options["store_path"]), options["corruptions"]
    names = None if chosen is None else corruptions.parse_corruptions(chosen)
    transfer = options["allow_transfer"]
    if names is not None and {"all", *corruptions.GROUPS} & {
        part.strip() for part in chosen.split(",")
    }:
        found = measure.find_patches(store, model, names, allow_transfer=transfer)
        if any(found.values()):
            return found
    return measure.choose_patches(store, model, names, allow_transfer=transfer)


def _widths(given: tuple[str, ...]) -> tuple[int, ...]:
    if len(set(given)) != len(given):
        raise ConfigError(f"--bits {', '.join(given)} names a width twice")
    return tuple(int(bits) for bits in given)
