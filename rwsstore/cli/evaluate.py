"""`rws evaluate`, and what `--attacks` makes of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from torch import nn

from rwsstore.attacks import Attack
from rwsstore.canonical import key_part
from rwsstore.cli.options import (
    dataset_option,
    limit_option,
    load_model,
    load_test_images,
    model_options,
    open_store,
    read_model,
    severities,
    store_option,
    transfer_option,
)
from rwsstore.cli.output import check_outputs, report_options, write_report
from rwsstore.cli.probe.shared import kept_results
from rwsstore.corruptions import GROUPS, parse_corruptions
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.evaluation import (
    EvaluationOptions,
    choose_patches,
    evaluate,
    find_patches,
    plot_report,
    report_table,
)
from rwsstore.evaluation.adversarial import (
    DEFAULT_BUDGETS,
    AdversarialOptions,
    attack_table,
    budget_name,
    evaluate_attacks,
    parse_attacks,
    parse_budgets,
    plot_attacks,
)
from rwsstore.models import Classifier, ModelSpec, load_checkpoint, weights_fingerprint
from rwsstore.patches import BIT_WIDTHS, ModelIdentity, Patch, identify, parse_request
from rwsstore.progress import ConsoleReporter
from rwsstore.runtime import LiveModel
from rwsstore.store import FittingStore
from rwsstore.training.resume import images_digest

_Command = Callable[..., Any]

_CLEAN = "clean"
"""What the model itself is called in the report."""

_DEFAULTS = "; ".join(
    f"{','.join(map(budget_name, budgets))} for {norm}" for norm, budgets in DEFAULT_BUDGETS.items()
)

_OPTIONS = (
    click.option(
        "--attacks",
        metavar="NAMES",
        help="Attack the images instead of corrupting them: standard (fgsm,pgd10,pgd20x5,apgd), or "
        "names: pgd20x5 is PGD with 20 steps and 5 restarts.",
    ),
    click.option(
        "--epsilon",
        metavar="NUMBERS",
        help=f"Budgets of the attacks: 8/255, or 0.01,0.03. Default: {_DEFAULTS}.",
    ),
    click.option(
        "--norm",
        type=click.Choice(tuple(DEFAULT_BUDGETS)),
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

_WITH_ATTACKS = ("epsilon", "norm", "patchsets", "against")
_WITHOUT_ATTACKS = ("corruptions", "severity_text", "bits", "frost_overlays", "rival")
_WITH_PATCH = ("store_path", "allow_transfer")


def attack_options(command: _Command) -> _Command:
    """Add what an evaluation under attack takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_together(context: click.Context) -> None:
    """Refuse options that would do nothing.

    Raises:
        ConfigError: an option that goes with --attacks is there without it, one that does not is
            there with it, or one that goes with --patch is there without a patch.
    """
    if context.params["attacks"] is None:
        for option in _given(context, _WITH_ATTACKS):
            raise ConfigError(f"{option} goes with --attacks")
        return
    for option in _given(context, _WITHOUT_ATTACKS):
        raise ConfigError(f"{option} does not go with --attacks, which corrupts nothing")
    if not context.params["patchsets"]:
        for option in _given(context, _WITH_PATCH):
            raise ConfigError(f"{option} goes, under --attacks, with --patch")


def _given(context: click.Context, names: tuple[str, ...]) -> list[str]:
    """Options of these names that the command line holds."""
    return [
        option.opts[0]
        for option in context.command.params
        if option.name in names
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]


def evaluate_under_attack(options: Mapping[str, Any]) -> None:
    """Attack the models that the options name, and write what came of it."""
    norm, given = options["norm"], options["epsilon"]
    settings = AdversarialOptions(
        epsilons=DEFAULT_BUDGETS[norm] if given is None else parse_budgets(given),
        seed=options["seed"],
        resamples=options["resamples"],
    )
    attacks = parse_attacks(options["attacks"], settings.epsilons[-1], norm)
    model = load_model(options)
    models = _distinct([(_CLEAN, model), *_patched(model, options), *_others(model, options)])
    reporter = ConsoleReporter()
    images = load_test_images(options, model, reporter)
    results = kept_results("attacks", _identity(models, attacks, images, settings))
    report = evaluate_attacks(models, attacks, images, settings, results=results, progress=reporter)
    write_report(report, options, table=attack_table, plot=plot_attacks)
    results.forget()


def _patched(model: Classifier, options: Mapping[str, Any]) -> list[tuple[str, nn.Module]]:
    """The model with each patch set on, by how it was written."""
    if not options["patchsets"]:
        return []
    store = FittingStore(open_store(options["store_path"]), identify(model.state_dict()))
    live = LiveModel(model, store, allow_transfer=options["allow_transfer"])
    found = []
    for text in options["patchsets"]:
        variant = live.variant(parse_request(text))
        if not variant.patches:
            raise ConfigError(f"--patch {text!r} is the clean model, which is attacked anyway")
        found.append((text.replace(" ", ""), variant.module))
    return found


def _others(model: Classifier, options: Mapping[str, Any]) -> list[tuple[str, nn.Module]]:
    """The other checkpoints, by the names of their files."""
    found: list[tuple[str, nn.Module]] = []
    for path in options["against"]:
        other = read_model(path)
        _check_alike(model.spec, other.spec, path)
        found.append((path.name.removesuffix(path.suffix), other))
    return found


def _check_alike(model: ModelSpec, other: ModelSpec, path: Path) -> None:
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


def _distinct(models: Iterable[tuple[str, nn.Module]]) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    for name, model in models:
        if name in found:
            raise ConfigError(f"two models are called {name!r}; give each once, or rename a file")
        found[name] = model
    return found


def _identity(
    models: Mapping[str, nn.Module],
    attacks: Mapping[str, Attack],
    images: ImageSet,
    options: AdversarialOptions,
) -> dict[str, Any]:
    """What the numbers of an interrupted run depend on."""
    return {
        "models": {name: weights_fingerprint(one.state_dict()) for name, one in models.items()},
        "attacks": {
            name: key_part(attack.name, asdict(attack)) for name, attack in attacks.items()
        },
        "images": images_digest(images),
        "epsilons": list(options.epsilons),
        "seed": options.seed,
        "batch_size": options.batch_size,
    }


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
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the limit, the corruptions, the attacks and the resamples.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Draws of the images behind the 95 % bootstrap intervals, 40 or more; 0: no intervals.",
)
@click.option(
    "--frost-overlays",
    type=click.Path(path_type=Path),
    help="Folder of frost photographs; without it frost is synthetic.",
)
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
    check_together(click.get_current_context())
    check_outputs(options)
    if options["attacks"] is None:
        _evaluate_patches(options)
    else:
        evaluate_under_attack(options)


def _evaluate_patches(options: dict[str, Any]) -> None:
    model = load_model(options)
    rival = None if options["rival"] is None else load_checkpoint(options["rival"])
    patches = _patches(options, identify(model.state_dict()))
    settings = EvaluationOptions(
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
    images = load_test_images(options, model, reporter)
    report = evaluate(
        model,
        patches,
        images,
        settings,
        rival=rival,
        allow_transfer=options["allow_transfer"],
        progress=reporter,
    )
    write_report(report, options, table=report_table, plot=plot_report)


def _patches(options: dict[str, Any], model: ModelIdentity) -> Mapping[str, Patch | None]:
    """Each corruption's patch; one that is named must have one, the rest of a group need not."""
    store, chosen = open_store(options["store_path"]), options["corruptions"]
    names = None if chosen is None else parse_corruptions(chosen)
    transfer = options["allow_transfer"]
    if names is not None and {"all", *GROUPS} & {part.strip() for part in chosen.split(",")}:
        found = find_patches(store, model, names, allow_transfer=transfer)
        if any(found.values()):
            return found
    return choose_patches(store, model, names, allow_transfer=transfer)


def _widths(given: tuple[str, ...]) -> tuple[int, ...]:
    if len(set(given)) != len(given):
        raise ConfigError(f"--bits {', '.join(given)} names a width twice")
    return tuple(int(bits) for bits in given)
