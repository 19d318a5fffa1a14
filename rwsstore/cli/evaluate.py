"""`rws evaluate`, and what `--attacks` makes of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rwsstore import corruptions, measure, models, patches, runtime
from rwsstore.canonical import key_part
from rwsstore.cli import options as opt
from rwsstore.cli.output import check_outputs, report_options, write_report
from rwsstore.cli.probe.rows import kept_results
from rwsstore.errors import ConfigError
from rwsstore.measure import adversarial
from rwsstore.progress import ConsoleReporter

if TYPE_CHECKING:
    from torch import nn

_BUDGETS = "1/255,2/255,4/255,8/255 for linf; 0.125,0.25,0.5,1 for l2"

_attack_options = opt.several(
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
        type=opt.PATH,
        help="Also attack this checkpoint, and try every model's perturbations on all others; may "
        "be repeated.",
    ),
)


@click.command("evaluate")
@opt.model_options
@opt.store_option
@opt.dataset_option
@click.option(
    "--corruptions",
    help="all, a group (noise, blur, weather, digital), or names: fog,snow. Default: those that "
    "the store has a patch for. In all and groups, one without a patch counts as not recovered.",
)
@click.option(
    "--severity",
    "severity_text",
    default="5",
    help="5, 3,5 or 1-5; the mean is reported, and each.",
)
@click.option(
    "--bits",
    type=click.Choice([str(bits) for bits in patches.BIT_WIDTHS]),
    multiple=True,
    help="Quantize the patches to so many bits again; may be repeated. Default: as stored.",
)
@opt.limit_option
@opt.seed_option("Of the limit, the corruptions, the attacks and the resamples.")
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    default=1000,
    help="Draws of the images behind the 95 % bootstrap intervals, 40 or more; 0: no intervals.",
)
@opt.frost_option
@click.option(
    "--rival",
    type=opt.PATH,
    help="The network before folding (OUT.unfolded.safetensors): compare with BatchNorm "
    "re-estimated on the test stream.",
)
@opt.transfer_option
@_attack_options
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
    if options["attacks"] is None:
        for option in opt.given("epsilon", "norm", "patchsets", "against"):
            raise ConfigError(f"{option} goes with --attacks")
        check_outputs(options)
        _evaluate_patches(options)
        return
    for option in opt.given("corruptions", "severity_text", "bits", "frost_overlays", "rival"):
        raise ConfigError(f"{option} does not go with --attacks, which corrupts nothing")
    if not options["patchsets"]:
        for option in opt.given("store_path", "allow_transfer"):
            raise ConfigError(f"{option} goes, under --attacks, with --patch")
    check_outputs(options)
    _evaluate_under_attack(options)


def _evaluate_patches(options: Mapping[str, Any]) -> None:
    model = opt.load_model(options)
    rival = None if options["rival"] is None else models.load_checkpoint(options["rival"])
    chosen, store = options["corruptions"], opt.open_store(options["store_path"])
    names = None if chosen is None else corruptions.parse_corruptions(chosen)
    identity, transfer = patches.identify(model.state_dict()), options["allow_transfer"]
    by_corruption: Mapping[str, patches.Patch | None] = {}
    # One that is named must have a patch, the rest of a group need not.
    groups = {"all", *corruptions.GROUPS} & {part.strip() for part in (chosen or "").split(",")}
    if names is not None and groups:
        by_corruption = measure.find_patches(store, identity, names, allow_transfer=transfer)
    if not any(by_corruption.values()):
        by_corruption = measure.choose_patches(store, identity, names, allow_transfer=transfer)
    bits = tuple(map(int, options["bits"]))
    if len(set(bits)) != len(bits):
        raise ConfigError(f"--bits {', '.join(options['bits'])} names a width twice")
    settings = measure.EvaluationOptions(
        severities=opt.severities(options["severity_text"]),
        bits=bits,
        seed=options["seed"],
        frost_overlays=options["frost_overlays"],
        resamples=options["resamples"],
    )
    for patch in filter(None, by_corruption.values()):  # refused before the images are read
        for width in settings.bits:
            patch.at_bits(width)
    reporter = ConsoleReporter()
    images = opt.load_labelled_images(options, model, reporter)
    report = measure.evaluate(
        model,
        by_corruption,
        images,
        settings,
        rival=rival,
        allow_transfer=transfer,
        progress=reporter,
    )
    write_report(report, options, table=measure.report_table, plot=measure.plot_report)


def _evaluate_under_attack(options: Mapping[str, Any]) -> None:
    norm, budgets = options["norm"], adversarial.DEFAULT_BUDGETS[options["norm"]]
    if options["epsilon"] is not None:
        budgets = adversarial.parse_budgets(options["epsilon"])
    settings = adversarial.AdversarialOptions(
        epsilons=budgets, seed=options["seed"], resamples=options["resamples"]
    )
    attacks = adversarial.parse_attacks(options["attacks"], settings.epsilons[-1], norm)
    model = opt.load_model(options)
    subjects = _subjects(model, options)
    reporter = ConsoleReporter()
    images = opt.load_labelled_images(options, model, reporter)
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


def _subjects(model: "models.Classifier", options: Mapping[str, Any]) -> "dict[str, nn.Module]":
    """The models to be attacked.

    The model itself, "clean", then it with each patch set on, by how that was written, then the
    other checkpoints, by the names of their files.

    Raises:
        ConfigError: two have one name, a patch set is empty, or another checkpoint is not alike.
    """
    found: dict[str, nn.Module] = {"clean": model}

    def add(name: str, other: "nn.Module") -> None:
        if name in found:
            raise ConfigError(f"two models are called {name!r}; give each once, or rename a file")
        found[name] = other

    if options["patchsets"]:
        store = opt.fitting_store(options["store_path"], model)
        live = runtime.LiveModel(model, store, allow_transfer=options["allow_transfer"])
        for text in options["patchsets"]:
            variant = live.variant(patches.parse_request(text))
            if not variant.patches:
                raise ConfigError(f"--patch {text!r} is the clean model, which is attacked anyway")
            add(text.replace(" ", ""), variant.module)
    for path in options["against"]:
        other = opt.read_model(path)
        takes, needed = other.spec, model.spec
        if takes.input_size != needed.input_size:
            raise ConfigError(
                f"--against {path} takes images of {takes.input_size} pixels, the model "
                f"{needed.input_size}; expected the same"
            )
        renamed = takes.classes and needed.classes and takes.classes != needed.classes
        if takes.num_classes != needed.num_classes or renamed:
            raise ConfigError(
                f"--against {path} has other classes than the model; expected the same, in the "
                "same order"
            )
        add(path.name.removesuffix(path.suffix), other)
    return found
