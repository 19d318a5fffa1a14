"""Tables 1, 4 and 5: TA, RA and bytes by method, on all corruptions and on five.

python -m benchmarks.paper.tables --data NAME:PATH --work-bundle DIR [--augmented FILE]
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.paper.methods import (
    Method,
    gap_recovered,
    load_augmented,
    measure_all_layers,
    measure_augmented,
    measure_clean,
    measure_robust,
    measure_shallow,
    model_bytes,
)
from benchmarks.paper.pages import (
    CLEAN,
    COLOURS,
    LINE,
    PATCHED,
    Picture,
    Table,
    new_figure,
    save_figure,
    tidy,
    write_blocks,
)
from benchmarks.paper.study import Study, errors_told, open_study, study_parser

_BUNDLED_BITS = 8
_TOLERATED = 0.5
"""Points by which a patch may be worse than none before it is named."""


def run(study: Study, *, augmented: Path | None = None) -> None:
    """Train, measure, write the page and the pictures.

    Args:
        study: to run.
        augmented: checkpoint of the one model on all corruptions; trained here if None.
    """
    names, five = study.settings.tables.corruptions, study.settings.corruptions
    stored, wide = study.patches(names), study.patches(names, wide=True)
    other = load_augmented(study, augmented)
    large = [measure_clean(study, names), measure_augmented(study, names, other)]
    large += [
        measure_shallow(study, bits, stored if bits == _BUNDLED_BITS else wide)
        for bits in study.settings.tables.bits
    ]
    small = [method.among(five) for method in large]
    small += [measure_robust(study, five), measure_all_layers(study, five)]
    _write(study, large, small)


def _write(study: Study, large: Sequence[Method], small: Sequence[Method]) -> None:
    size = model_bytes(study)
    names, five = tuple(large[0].ra), tuple(small[0].ra)
    blocks: list[str | Table | Picture] = [
        _about(size),
        _harm(large),
        Table(*_by_method(large, size), title=f"{len(names)} corruptions"),
        Picture(_draw_bars(study, large), "RA of each corruption by method"),
        Table(*_by_method(small, size), title=f"Five corruptions: {', '.join(five)}"),
        Picture(_draw_bytes(study, small, size), "RA against bytes, five corruptions"),
        Table(*_by_corruption(names, [*large, *small[len(large) :]]), title="RA by corruption"),
        Table(*_ta_by_corruption(names, large), title="TA with the patch on"),
    ]
    if "frost" in names:
        blocks.append("Frost is synthetic, not the benchmark's photographs.")
    write_blocks(study, "TA, RA and bytes by method (Tables 1, 4 and 5 in kind)", blocks)


def _about(size: int) -> str:
    return (
        "Accuracies in %. Gap recovered is (mean RA − the clean model's) / (the clean model's "
        "TA − its mean RA). TA is with the patch on, the mean over the patches. Bytes are of what "
        f"is carried beside the clean model, whose tensors have {size:,}; data augmentation is one "
        "model in its place."
    )


def _harm(large: Sequence[Method]) -> str:
    clean = large[0]
    harmed = [
        f"{name} at {method.name.removeprefix('RWS, ')}"
        for method in large
        if method.name.startswith("RWS")
        for name, ra in method.ra.items()
        if ra < clean.ra[name] - _TOLERATED
    ]
    return (
        f"Patches that are worse than none on their own corruption, by more than {_TOLERATED:g} "
        f"point: {', '.join(harmed) or 'none'}."
    )


def _by_method(methods: Sequence[Method], size: int) -> tuple[list[str], list[list[str]]]:
    header = [
        "method", "mean RA", "gap recovered", "TA", "payload bytes", "file bytes",
        "payload / model",
    ]  # fmt: skip
    rows = []
    for method in methods:
        gap = gap_recovered(method, methods[0])
        payload = _payload(method)
        file = sum(carried.file for carried in method.carried.values())
        means = [f"{fmean(method.ra.values()):.1f}", "" if gap is None else f"{gap:.2f}"]
        sizes = [f"{payload:,}", f"{file:,}", f"{payload / size:.3f}"]
        rows.append([method.name, *means, f"{fmean(method.ta.values()):.1f}", *sizes])
    return header, rows


def _by_corruption(
    names: Sequence[str], methods: Sequence[Method]
) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name, *(f"{method.ra[name]:.1f}" if name in method.ra else "" for method in methods)]
        for name in names
    ]
    return ["corruption", *(method.name for method in methods)], rows


def _ta_by_corruption(
    names: Sequence[str], methods: Sequence[Method]
) -> tuple[list[str], list[list[str]]]:
    patched = [method for method in methods if method.name.startswith("RWS")]
    rows = [[name, *(f"{method.ta[name]:.1f}" for method in patched)] for name in names]
    return ["corruption", *(method.name for method in patched)], rows


def _draw_bars(study: Study, large: Sequence[Method]) -> Path:
    """The clean model, data augmentation and the stored patches, corruption by corruption."""
    names = list(large[0].ra)
    stored = next((m for m in large if m.name == f"RWS, {_BUNDLED_BITS} bits"), large[-1])
    figure = new_figure(2.2 + 0.62 * len(names), 4.2)
    axes = tidy(figure.add_subplot())
    bars = ((large[0], CLEAN), (large[1], COLOURS[1]), (stored, PATCHED))
    for number, (method, colour) in enumerate(bars):
        places = [place + 0.27 * (number - 1) for place in range(len(names))]
        heights = [method.ra[name] for name in names]
        axes.bar(places, heights, 0.25, label=method.name, color=colour)
    ta = fmean(large[0].ta.values())
    axes.axhline(ta, color=LINE, linestyle="--", linewidth=1)
    axes.text(len(names) - 0.45, ta + 1, "clean images", ha="right", color=LINE, fontsize=8)
    axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names], fontsize=7)
    axes.set_ylim(0, 100)
    axes.set_ylabel("accuracy in %")
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return save_figure(study, figure)


def _draw_bytes(study: Study, small: Sequence[Method], size: int) -> Path:
    """Mean RA against what is carried; the shallow patches as one line."""
    figure = new_figure(7, 4)
    axes = tidy(figure.add_subplot())
    drawn = {method.name: (_payload(method) / size, fmean(method.ra.values())) for method in small}
    shallow = [at for name, at in drawn.items() if name.startswith("RWS") and "all" not in name]
    axes.plot(
        *zip(*shallow, strict=True), "o-", color=PATCHED, label="RWS, shallowest layers, by bits"
    )
    for name, (share, ra) in drawn.items():
        if not share:
            axes.axhline(ra, color=LINE, linestyle="--", linewidth=1)
            axes.annotate(
                name, (0.01, ra), (0, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=8, color=LINE,
            )  # fmt: skip
            continue
        if (share, ra) not in shallow:
            axes.plot([share], [ra], "o", color=COLOURS[1])
        label = name
        if (share, ra) in shallow:
            label = name.removeprefix("RWS, ").removesuffix(" bits")
        left = "all layers" in name
        axes.annotate(
            label, (share, ra), (-8, -3) if left else (0, 7),
            textcoords="offset points", fontsize=8, ha="right" if left else "center",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("payload of all patches or models / the clean model's bytes")
    axes.set_ylabel("mean RA in %")
    axes.margins(x=0.2, y=0.15)
    axes.legend(frameon=False, fontsize=8)
    return save_figure(study, figure, "bytes")


def _payload(method: Method) -> int:
    return sum(carried.payload for carried in method.carried.values())


def main() -> None:
    parser = study_parser("tables", __doc__)
    parser.add_argument(
        "--augmented", type=Path, metavar="FILE", help="checkpoint; default: trained here"
    )
    arguments = parser.parse_args()
    with errors_told():
        run(open_study("tables", arguments), augmented=arguments.augmented)


if __name__ == "__main__":
    main()
