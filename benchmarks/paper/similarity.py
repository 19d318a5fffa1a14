"""Figures 2 to 4: norms of the patches layer by layer, how much alike they are, what each gains.

All bundled patches, on all corruptions that they are for; the numbers are those of `rws compare`.
"""

from collections.abc import Iterator
from statistics import fmean

from benchmarks.paper.pages import Table, draw, write_page
from benchmarks.paper.study import Study
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
    found = compare(study)
    groups = (
        ("cosine", "cosines", found.groups, ".2f"),
        ("gain in points", "gains", found.gain_groups, ".1f"),
    )
    write_page(
        study,
        verdicts=[_verdict(what, contrast, form) for _, what, contrast, form in groups],
        correlation=list(_correlation(found)),
        layers=Table(
            [
                "layer", "‖Δ‖", "‖Δ‖ / ‖θ‖", "share of ‖Δ‖²", "cosine", "within groups", "between",
                "p",
            ],
            _layers(found),
            "Layers, means over the patches and their pairs",
            ("", ".3f", ".3f", "", ".2f", ".2f", ".2f", ".2g"),
        ),
        groups=[
            Table(
                ["patches for", *contrast.by_group],
                [[name, *row.values()] for name, row in contrast.by_group.items()],
                f"Mean {what}, different corruptions",
                form,
            )
            for what, _, contrast, form in groups
            if contrast is not None
        ],
        patches=Table(
            ["patch", "‖Δ‖", "‖Δ‖ / ‖θ‖", "gain on its own", "mean gain on others", "TA"],
            _patches(found),
            "Patches",
            ("", ".2f", ".3f", "+.1f", "+.1f", "+.1f"),
        ),
        pictures=[
            draw(study, _PICTURES[kind], picture, kind)
            for kind, picture in found.pictures().items()
        ],
    )  # fmt: skip


def _correlation(found: Comparison) -> Iterator[str]:
    if found.gain_correlation is not None:
        yield (
            "The correlation of the cosine of two patches with what one gains on the other's "
            f"corruption is {found.gain_correlation:.2f}."
        )


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


def _layers(found: Comparison) -> Iterator[list[object]]:
    names = short_names(found.similarity.layers)
    for layer, name in zip(found.layers, names, strict=True):
        contrast: list[float | None] = [None] * 3
        if (groups := layer.groups) is not None:
            contrast = [groups.within, groups.between, groups.p_value]
        energy = f"{100 * layer.energy:.0f} %"
        yield [name, layer.norm, layer.relative_norm, energy, layer.cosine, *contrast]


def _patches(found: Comparison) -> Iterator[list[object]]:
    gains, similarity = found.gains, found.similarity
    assert gains is not None  # measured above
    for row, one in enumerate(similarity.signatures):
        each = dict(zip(gains.options.corruptions, gains.gains[row].tolist(), strict=True))
        own = each.pop(one.corruption or "", None)
        norms = float(similarity.total_norms[row]), float(similarity.total_relative_norms[row])
        others = fmean(each.values()) if each else None
        yield [one.name, *norms, own, others, float(gains.costs[row])]
