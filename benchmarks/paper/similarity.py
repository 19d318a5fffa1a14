"""Figures 2 to 4: norms of the patches layer by layer, how much alike they are, what each gains.

    python -m benchmarks.paper.similarity --data NAME:PATH

All bundled patches, on all corruptions that they are for; the numbers are those of `rws compare`.
"""

from benchmarks.paper.pages import Picture, Table, write_blocks
from benchmarks.paper.study import Study, start
from rwsstore.files import make_folders, write_atomic
from rwsstore.models import short_names
from rwsstore.probes import (
    Comparison,
    GainOptions,
    GroupContrast,
    compare_signatures,
    find_signatures,
    measure_gains,
    summarize,
)

_PICTURES = {
    "norms": "Norm of each patch in each layer",
    "cosine": "Cosine similarity between patches",
    "layers": "Cosine similarity between patches, layer by layer",
    "gains": "What each patch gains on each corruption",
}


def compare(study: Study) -> Comparison:
    """Compare the study's patches; gains come from its results where they were measured."""
    signatures = find_signatures(study.clean, study.store)
    options = GainOptions(
        corruptions=tuple(dict.fromkeys(one.corruption for one in signatures if one.corruption)),
        severity=study.settings.severity,
        seed=study.settings.seed,
    )
    gains = measure_gains(
        study.clean, signatures, study.test, options, measure=study.measure,
        progress=study.progress,
    )  # fmt: skip
    similarity = compare_signatures(study.clean, signatures)
    return summarize(similarity, gains, seed=study.settings.seed)


def run(study: Study) -> None:
    """Measure, write the page and the pictures."""
    comparison = compare(study)
    make_folders(study.docs)
    pictures = []
    for kind, picture in comparison.pictures().items():
        path = study.docs / f"{study.name}-{kind}.png"
        write_atomic(path, picture)
        pictures.append(Picture(path, _PICTURES[kind]))
    blocks: list[str | Table | Picture] = [
        *_sentences(comparison),
        Table(*_layers(comparison), title="Layers, means over the patches and their pairs"),
        *_groups("cosine", comparison.groups, ".2f"),
        *_groups("gain in points", comparison.gain_groups, ".1f"),
        Table(*_patches(comparison), title="Patches"),
        *pictures,
    ]
    write_blocks(study, "Signatures compared (Figures 2 to 4 in kind)", blocks)


def _sentences(comparison: Comparison) -> list[str]:
    told = [
        _verdict("cosines", comparison.groups, ".2f"),
        _verdict("gains", comparison.gain_groups, ".1f"),
    ]
    if comparison.gain_correlation is not None:
        told.append(
            "The correlation of the cosine of two patches with what one gains on the other's "
            f"corruption is {comparison.gain_correlation:.2f}."
        )
    return told


def _verdict(what: str, found: GroupContrast | None, form: str) -> str:
    if found is None:
        return f"There are too few patches to ask whether the groups appear in the {what}."
    appear = "appear" if found.appear else "do not show"
    own = "" if found.own is None else f" (on the patch's own corruption {found.own:{form}})"
    return (
        f"The groups noise, blur, weather and digital {appear} in the {what}: the mean within "
        f"groups is {found.within:{form}}, between them {found.between:{form}}{own}; permutation "
        f"test over {found.relabelings:,} relabelings of the corruptions, p = {found.p_value:.2g}."
    )


def _layers(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    header = [
        "layer", "‖Δ‖", "‖Δ‖ / ‖θ‖", "share of ‖Δ‖²", "cosine", "within groups", "between", "p",
    ]  # fmt: skip
    names = short_names(comparison.similarity.layers)
    rows = []
    for layer, name in zip(comparison.layers, names, strict=True):
        groups = layer.groups
        contrast = (None, None, None) if groups is None else (
            groups.within, groups.between, groups.p_value,
        )  # fmt: skip
        rows.append(
            [
                name,
                f"{layer.norm:.3f}",
                _number(layer.relative_norm, ".3f"),
                f"{100 * layer.energy:.0f} %",
                _number(layer.cosine, ".2f"),
                *(
                    _number(value, form)
                    for value, form in zip(contrast, (".2f", ".2f", ".2g"), strict=True)
                ),
            ]
        )
    return header, rows


def _groups(what: str, found: GroupContrast | None, form: str) -> list[Table]:
    if found is None:
        return []
    names = list(found.by_group)
    rows = [[name, *(_number(found.by_group[name][n], form) for n in names)] for name in names]
    return [Table(["patches for", *names], rows, title=f"Mean {what}, different corruptions")]


def _patches(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    gains, found = comparison.gains, comparison.similarity
    assert gains is not None  # measured above
    header = ["patch", "‖Δ‖", "‖Δ‖ / ‖θ‖", "gain on its own", "mean gain on others", "TA"]
    columns = {name: place for place, name in enumerate(gains.options.corruptions)}
    rows = []
    for row, one in enumerate(found.signatures):
        own = columns.get(one.corruption or "")
        others = [value for place, value in enumerate(gains.gains[row].tolist()) if place != own]
        rows.append(
            [
                one.name,
                f"{float(found.total_norms[row]):.2f}",
                f"{float(found.total_relative_norms[row]):.3f}",
                "" if own is None else f"{float(gains.gains[row, own]):+.1f}",
                f"{sum(others) / len(others):+.1f}" if others else "",
                f"{float(gains.costs[row]):+.1f}",
            ]
        )
    return header, rows


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def main() -> None:
    start("similarity", run, __doc__)


if __name__ == "__main__":
    main()
