"""The model card of a bundle, as data and as Markdown for people."""

from collections.abc import Iterator
from typing import Literal

from rwsstore import __version__
from rwsstore.bundled import CardPart
from rwsstore.canonical import canonical_json
from rwsstore.making.config import BundleConfig
from rwsstore.measure import EvaluationReport, Interval
from rwsstore.models import LEAST_AGREEMENT, FormatAgreement
from rwsstore.tables import Column, Table


class TrainingSummary(CardPart):
    """How the training of the clean model went: accuracy in percent, weights those folded."""

    images: int
    validation_images: int
    validation_accuracy: float
    weights: str


class PatchSummary(CardPart):
    """One patch of the bundle; its payload are codes, scales and float32 deltas."""

    name: str
    digest: str
    payload_bytes: int
    file_bytes: int


class DeltaSummary(PatchSummary):
    """One that is against failing weights or adversaries, measured once on the test images.

    Attributes:
        attack: what it is against, with its budget ε.
        touched_bytes: of the model's tensors that it touches.
        images: that accuracy under the hazard was measured on.
        ta: accuracy on all test images with the patch on, in percent.
        clean_model: accuracy under the hazard without it; `patched`: with it.
    """

    kind: str
    attack: str
    budget: float
    touched_bytes: int
    layers: int
    images: int
    ta: float
    clean_model: float
    patched: float


class BundleCard(CardPart):
    """Everything that is known of a bundle.

    Attributes:
        images: digest of the training images and their labels; `test_images`: of the test images.
        weights: weights fingerprint of the clean model.
        report: the one measurement on the test images.
        deltas: the patches against failing weights or adversaries, measured there.
        formats: agreement of each compute format with float32, on the held-out images, of the
            clean model and with each patch on at its recommended strength.
    """

    version: Literal[1] = 1
    name: str
    config: BundleConfig
    images: str
    test_images: str
    training: TrainingSummary
    weights: str
    parameters: int
    patches: tuple[PatchSummary, ...]
    report: EvaluationReport
    deltas: tuple[DeltaSummary, ...] = ()
    formats: tuple[FormatAgreement, ...] = ()
    tool: str = f"rwsstore {__version__}"

    def to_json(self) -> str:
        """Write the card as canonical JSON, with a newline at its end."""
        return canonical_json(self.model_dump(mode="json")) + "\n"


def card_markdown(card: BundleCard) -> str:
    """Render a card; the same card gives the same text."""
    blocks = (
        f"# {card.name}: model card\n",
        _summary(card),
        _figures(card),
        _corruptions(card),
        *_deltas(card),
        *_formats(card),
        _making(card),
        _limits(card),
    )
    return "\n".join(blocks)


def _summary(card: BundleCard) -> str:
    spec, sides = card.config.network, card.config.network.input_size
    more = f" {len(card.deltas)} more are against failing weights or adversaries."
    return (
        f"A `{spec.network}` classifier of width {spec.width:g} with its BatchNorm folded "
        f"({card.parameters:,} parameters, {card.report.model_bytes:,} bytes in float32) for "
        f"{sides}×{sides} RGB images of {len(card.config.data.classes)} classes "
        f"({', '.join(card.config.data.classes)}), and {len(card.config.corruptions)} Robust "
        "Weight Signature patches, one for each corruption below at severity "
        f"{card.config.extraction.severity}. A patch covers the weights and biases of the "
        f"shallowest {card.config.extraction.layers} layers."
        f"{more if card.deltas else ''}\n"
    )


def _figures(card: BundleCard) -> str:
    report, mean = card.report, card.report.mean
    rows = [
        ("TA, clean model", _percent(report.clean_accuracy, report.clean_accuracy_interval)),
        ("mean RA, clean model", _percent(mean.clean_model, mean.clean_model_interval)),
    ]
    for bits in card.config.measuring.bits:
        mark = " (as shipped)" if bits == card.config.extraction.bits else ""
        label, found = f"{bits} bits{mark}", report.by_bits[str(bits)]
        payload, model = found.patch_payload_bytes, report.model_bytes
        size = (
            f"{payload:,} bytes of payload, {payload / model:.3f} of the model's; "
            f"files {found.patch_file_bytes:,}"
        )
        patched = _percent(found.mean.patched, found.mean.patched_interval)
        recovered = "-" if found.gap_recovered is None else f"{found.gap_recovered:.3f}"
        interval = found.gap_recovered_interval
        if interval is not None:
            recovered += f" ({interval.low:.3f} to {interval.high:.3f})"
        rows += [
            (f"mean RA, patches at {label}", patched),
            (f"gap recovered, {label}", recovered),
            (f"all patches at {label}", size),
        ]
    return (
        f"## Figures\n\nMeasured once, on {report.images:,} test images, when everything was "
        "chosen. In brackets the 95 % bootstrap interval over the images: what another draw of "
        "test images would change; another training seed changes more. RA is accuracy under a "
        "patch's own corruption, told by an oracle which one it is; gap recovered is (mean RA with "
        "patches − mean RA without) / (TA − mean RA without).\n\n"
        + Table.of(("figure", "value"), rows).to_markdown()
    )


def _corruptions(card: BundleCard) -> str:
    stored = card.report.by_bits[str(card.config.extraction.bits)]
    rows = []
    for name in card.config.corruptions:
        found = stored.corruptions[name]
        row = (
            _percent(found.clean_model, found.clean_model_interval),
            _percent(found.patched, found.patched_interval),
            _percent(found.patched_clean_accuracy, found.patched_clean_accuracy_interval),
        )
        rows.append((name, *row))
    heads = ("corruption", "RA, no patch", "RA, its patch", "TA while it is on")
    source = ""
    if "frost" in stored.corruptions:
        source = f"\nFrost is {card.report.frost_source}: not the benchmark's photographs.\n"
    return f"## By corruption\n\nIn percent.\n\n{Table.of(heads, rows).to_markdown()}{source}"


def _deltas(card: BundleCard) -> Iterator[str]:
    """Patches against failing weights or adversaries, where there are some."""
    if not card.deltas:
        return
    strengths = {delta.patch_name: delta.alpha for delta in card.config.deltas}
    columns = (
        Column("patch", "name", left=True),
        Column("strength", lambda found: strengths[found.name], "g"),
        Column("against, ε", lambda found: f"{found.attack}, {found.budget:g}"),
        Column("TA with it", "ta", ".1f"),
        Column("accuracy under that, no patch", "clean_model", ".1f"),
        Column("its patch", "patched", ".1f"),
        Column("layers", "layers"),
        Column("bytes touched", "touched_bytes", ","),
        Column("file", "file_bytes", ","),
    )
    images = ", ".join(sorted({f"{found.images:,}" for found in card.deltas}))
    yield (
        "## Against failing weights and adversaries\n\nIn percent, at each patch's recommended "
        f"strength. TA on all test images, accuracy under what a patch is against on {images} of "
        "them: bits are flipped one at a time and the mean is taken, parameters are corrupted "
        "along the gradient on these very images.\n\n" + Table(columns, card.deltas).to_markdown()
    )


def _formats(card: BundleCard) -> Iterator[str]:
    """Compute formats, where they were measured."""
    if not card.formats:
        return
    columns = (
        Column("compute format", "name", left=True),
        Column("clean model", "top1_agreement", ".2f"),
        Column(
            "lowest, and with which patch",
            lambda one: f"{one.lowest_agreement:.2f} ({one.lowest_with or 'clean model'})",
        ),
        Column(
            "largest logit difference",
            lambda one: "not finite" if one.largest_difference is None else one.largest_difference,
            "g",
        ),
        Column("offered", "offered"),
    )
    images = ", ".join(sorted({f"{one.images:,}" for one in card.formats}))
    yield (
        f"## Compute formats\n\nImages of the {images} split off the training set whose likeliest "
        "class is the same as in float32, in percent: the clean model, and with each patch on at "
        f"its recommended strength. From {LEAST_AGREEMENT:g} on for all of them a format is "
        "offered to the service.\n\n" + Table(columns, card.formats).to_markdown()
    )


def _making(card: BundleCard) -> str:
    config, training = card.config, card.training
    schedule, extraction = config.training, config.extraction
    trained = "all layers trained, the deeper ones cut off"
    if extraction.training_mode == "shallow":
        trained = "the patched layers trained alone"
    deltas = (
        f"- {delta.patch_name}: recipe {delta.recipe}, layers {delta.layers or 'all'}, "
        f"{delta.bits} bits, recommended strength {delta.alpha:g}"
        + "".join(f", {name} {value}" for name, value in sorted(delta.settings.items()))
        + ".\n"
        for delta in config.deltas
    )
    averaged = ""
    if config.averaging is not None:
        averaged = (
            f"; then the mean of the weights at the ends of {config.averaging.cycles} more epochs, "
            f"each with its own cosine from {config.averaging.learning_rate:g} (stochastic weight "
            "averaging)"
        )
    return (
        "## How it was made\n\n"
        f"- Data: {config.data.name}; {training.images:,} training images, and "
        f"{training.validation_images:,} split off them (seed {config.data.seed}) on which every "
        "choice was made. Digest of the training images: "
        f"`{card.images}`; of the test images: `{card.test_images}`.\n"
        f"- Clean model: {schedule.epochs} epochs of SGD with Nesterov momentum, learning rate "
        f"{schedule.learning_rate:g} with a cosine to zero, weight decay "
        f"{schedule.weight_decay:g}, batch {schedule.batch_size}, label smoothing "
        f"{schedule.label_smoothing:g}, random crop and flip, seed {schedule.seed}, arithmetic "
        f"{config.mode}{averaged}. {training.validation_accuracy:.1f} % of the split-off "
        "images.\n"
        f"- Patches: from the clean model as anchor, {extraction.training.epochs} epochs each, "
        f"learning rate {extraction.training.learning_rate:g}, {trained}, "
        f"{extraction.bits} bits, seed {extraction.training.seed}.\n"
        f"{''.join(deltas)}"
        f"- Weights: `{card.weights}`. Made by {card.tool}. Every parameter is in card.json and in "
        "the configuration; `rws bundle` repeats it.\n"
    )


def _limits(card: BundleCard) -> str:
    side = card.config.network.input_size
    return (
        "## What it must not be used for\n\n"
        "It is there to show, test and study patches. It must not be used for decisions about "
        f"people, safety or property: it knows {len(card.config.data.classes)} classes, sees "
        f"{side} pixels a side, calls everything else one of its classes, and its figures hold "
        "for images like those that it was tested on. The corruptions are synthetic; weather and "
        "lenses in the field differ. A patch is for its corruption: the wrong one, or one on a "
        "clean image, usually costs accuracy (last column). Nothing here stops an adversary: where "
        "a patch is against attacks, its figure is what the attacks named left, an upper bound.\n"
    )


def _percent(value: float, interval: Interval | None) -> str:
    if interval is None:
        return f"{value:.1f}"
    return f"{value:.1f} ({interval.low:.1f} to {interval.high:.1f})"
