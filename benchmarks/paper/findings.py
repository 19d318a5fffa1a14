"""What a paper found, asked of our numbers; each answer is computed.

How a finding is asked (the measures, the thresholds, the tests) is our own choice.
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.paper.pages import told
from rwsstore.measure import Figure
from rwsstore.probes.filtering import FilteringReport
from rwsstore.probes.parameter_corruption import CorruptionReport, CorruptionRow

Reports = Mapping[str, CorruptionReport]
"""By network."""

CONFIRMED, MIXED, REFUTED, OPEN = "confirmed", "in part", "not confirmed", "undecided"
_FAR = 20.0
"""Points that the two kinds of corruption must lie apart at some ε."""
_LEVEL = 0.05
_RELABELINGS = 9_999
_LEAST = 3
"""Layers without which a rank correlation says nothing."""
ALIKE = 0.5
"""Two maps agree where their rank correlation is above this, with its whole interval."""


@dataclass(frozen=True)
class Finding:
    """One finding of a paper: as it has it, whether our numbers say so, and these."""

    claim: str
    verdict: str
    reason: str


def agreed(answers: Sequence[bool]) -> str:
    if not any(answers):
        return REFUTED
    return CONFIRMED if all(answers) else MIXED


def gradient_beats_random(every: Mapping[str, Reports]) -> Finding:
    """Does some ε leave random corruption 20 points above gradient-based, everywhere?"""
    gaps, said = [], []
    for word, reports in every.items():
        for network, report in reports.items():
            row = max(report.rows, key=_gap)
            gaps.append(_gap(row))
            line = f"{network}, {word}: {_gap(row):.1f} points apart at ε = {row.epsilon:g}"
            ends = [epsilon_for(report, _FAR, random=random) for random in (False, True)]
            if ends[0] is not None:
                least = report.epsilons[-1] if ends[1] is None else ends[1]
                more = "more than " if ends[1] is None else ""
                line += f", {_FAR:.0f} points lost at a {more}{least / ends[0]:.0f} times smaller ε"
            said.append(line)
    return Finding(
        "gradient-based corruption does far more damage than random corruption",
        agreed([gap >= _FAR for gap in gaps]),
        "; ".join(said),
    )


def _gap(row: CorruptionRow) -> float:
    return (row.random_accuracy or 0.0) - row.gradient.accuracy


def norm_most_sensitive(types: Reports) -> Finding:
    """Is "norm" the type that loses most, wherever a network has it?"""
    return _first_of(types, "normalization is the most sensitive component", "norm")


def conv_before_linear(types: Reports) -> Finding:
    claim = "convolutions are more sensitive than fully-connected layers"
    return _first_of(types, claim, "conv", "linear")


def _first_of(types: Reports, claim: str, first: str, *rivals: str) -> Finding:
    """Does a type lose more than its rivals, or than all, wherever a network has it?"""
    answers, said = [], []
    for network, report in types.items():
        for n in report.ns if first in report.groups else ():
            every = _drops(report, n)
            drops = {name: every[name] for name in ((first, *rivals) if rivals else every)}
            others = [drop for name, drop in drops.items() if name != first]
            answers.append(drops[first] > max(others))
            listed = ", ".join(f"{name} {100 * drop:.0f} %" for name, drop in drops.items())
            said.append(f"{network}, n = {n}: {listed}")
    return Finding(claim, agreed(answers), "; ".join(said))


def position(layers: Reports) -> Finding:
    """Which way does sensitivity go with depth? The paper says both."""
    words, said = [], []
    for network, report in layers.items():
        depths = list(_drops(report, report.ns[0]).values())[:-1]  # without the last, linear one
        rho, p_value = rank_correlation(depths)
        word = "less robust" if rho < 0 else "more robust"
        words.append(word if p_value < _LEVEL else "neither")
        said.append(f"{network}: ρ = {rho:z.2f} (p = {p_value:.2g}), lower layers {words[-1]}")
    both = words[0] if len(set(words)) == 1 else "not the same in all networks"
    return Finding(
        "lower layers are less robust (section 3.3), or more robust (appendix A.5.3)",
        f"lower layers: {both}",
        "rank correlation of depth and mean drop, the last layer left out; " + "; ".join(said),
    )


def norm_before_neighbour(components: CorruptionReport, norms: Set[str]) -> Finding:
    """Does a normalization lose more than the module registered before it, its convolution?"""
    drops = _drops(components, components.ns[0])
    pairs = [
        (before, name) for before, name in pairwise(drops) if name in norms and before not in norms
    ]
    more = sum(drops[name] > drops[before] for before, name in pairs)
    chance = sum(math.comb(len(pairs), k) for k in range(more, len(pairs) + 1)) / 2 ** len(pairs)
    return Finding(
        "BatchNorm is usually less robust than the component next to it",
        CONFIRMED if more and chance < _LEVEL else REFUTED,
        f"in {more} of {len(pairs)} pairs (sign test, p = {chance:.2g})",
    )


def _drops(report: CorruptionReport, n: int | None) -> dict[str, float]:
    return {group: report.mean_drop(group, n) or 0.0 for group in report.groups}


def epsilon_for(report: CorruptionReport, points: float, *, random: bool) -> float | None:
    """At which ε so many points are lost, between grid points log-linearly; None: nowhere."""
    before: tuple[float, float] | None = None
    for row in report.rows:
        accuracy = row.random_accuracy if random else row.gradient.accuracy
        if accuracy is None:
            return None
        lost = report.clean.accuracy - accuracy
        if lost >= points:
            if before is None:
                return row.epsilon
            share = (points - before[1]) / (lost - before[1])
            return float(before[0] * (row.epsilon / before[0]) ** share)
        before = row.epsilon, lost
    return None


def rank_correlation(values: Sequence[float]) -> tuple[float, float]:
    """ρ of the values with their order (Spearman), and the two-sided p-value of relabelings."""
    ranks = _ranks(torch.tensor(values, dtype=torch.float64)[:, None])[:, 0]
    order = torch.arange(len(values), dtype=torch.float64)
    order = order - order.mean()
    length = float(ranks.norm() * order.norm())
    if length == 0:
        return 0.0, 1.0
    found = float(ranks @ order) / length
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(_RELABELINGS, len(values), generator=generator, dtype=torch.float64)
    others = (ranks[drawn.argsort(1)] @ order / length).abs()
    as_far = int((others >= abs(found) - 1e-12).sum())
    return found, (1 + as_far) / (1 + _RELABELINGS)


def _ranks(values: Tensor) -> Tensor:
    """Centred ranks down each column, the mean rank for equals."""
    below = (values[:, None] > values[None]).double().sum(1)
    equal = (values[:, None] == values[None]).double().sum(1)
    ranks = below + equal / 2
    return ranks - ranks.mean(0)


def kinds_of_layers(report: FilteringReport) -> Finding:
    clear = [layer.kind for layer in report.scores if layer.clear]
    there, sure = len(set(clear)), len(clear)
    said = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    return Finding(
        "Parameters are fragile, robust or antifragile",
        CONFIRMED if there == 3 else MIXED if there == 2 else REFUTED,
        f"of {len(report.scores)} layers of the bundled model {said}; {sure} of these verdicts "
        "hold for the whole interval",
    )


def targets_of_attacks(report: FilteringReport) -> Finding:
    """Do some layers, and not all, lose more under attack?"""
    targeted = [
        layer.layer.rpartition(".")[2]
        for layer in report.scores
        if (s3 := layer.mean["s3"]) is not None
        and (interval := s3.interval) is not None
        and interval.high < 0
    ]
    some = 0 < len(targeted) < len(report.scores)
    return Finding(
        "Filtering shows which parameters an attack targets",
        CONFIRMED if some else MIXED if targeted else REFUTED,
        f"S3 is below 0 with its whole interval in {len(targeted)} of {len(report.scores)} layers"
        + (f": {', '.join(targeted)}" if targeted else ""),
    )


def same_on_other_data(own: FilteringReport, others: Mapping[str, FilteringReport]) -> Finding:
    decisive, rhos, parts = s2_of(own), [], []
    for name, other in others.items():
        rhos.append(agreement(decisive, s2_of(other)))
        same = sum(a.kind == b.kind for a, b in zip(own.scores, other.scores, strict=True))
        parts.append(f"{name}: {_rho(rhos[-1])}, {same} of {len(decisive)} layers of the same kind")
    return Finding(
        "The characteristics of layers do not depend on the data set",
        alike(rhos),
        f"{_asked('with the bundled model')}: " + "; ".join(parts),
    )


def same_in_another_network(own: FilteringReport, resnet: FilteringReport) -> Finding:
    mine, other = s2_of(own), s2_of(resnet)
    rho = None if None in mine else agreement(_at(mine, len(other)), other)
    with_draws = sum(figure is not None and figure.draws is not None for figure in other)
    return Finding(
        "Nor on the network",
        alike([rho]),
        f"{_asked('at equal relative depth')}: {len(mine)} layers of the bundled model against "
        f"{with_draws} of the {len(other)} of the ResNet-18 (those with an interval): {_rho(rho)}",
    )


def s2_of(report: FilteringReport) -> list[Figure | None]:
    """Mean S2 of each layer; None where it is not defined."""
    return [layer.mean["s2"] for layer in report.scores]


def agreement(left: Sequence[Figure | None], right: Sequence[Figure | None]) -> Figure | None:
    """Spearman's rank correlation of two maps' layers, with draws over the images.

    Over the layers where both are defined in every draw; None: they are fewer than three, or all
    equal.
    """
    pairs = [
        (a, b)
        for a, b in zip(left, right, strict=True)
        if a is not None and b is not None and a.draws is not None and b.draws is not None
    ]
    if len(pairs) < _LEAST:
        return None
    a, b = (_ranks(_table(side)) for side in zip(*pairs, strict=True))
    rho = (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0))  # draw by draw
    if not bool(rho.isfinite().all()):
        return None
    return Figure(float(rho[0]), rho[1:], pairs[0][0].images, pairs[0][0].resampling)


def alike(rhos: Sequence[Figure | None]) -> str:
    """Say whether maps are alike, of their rank correlations with one of them.

    One map that differs refutes it; where none can be told from the others it stays open.
    """
    intervals = [None if rho is None else rho.interval for rho in rhos]
    if any(interval is not None and interval.high <= ALIKE for interval in intervals):
        return REFUTED
    alike = [interval is not None and interval.low > ALIKE for interval in intervals]
    return CONFIRMED if all(alike) else MIXED if any(alike) else OPEN


def _asked(where: str) -> str:
    return f"rank correlation of mean S2 {where}, alike if above {ALIKE:g} with its interval"


def _rho(rho: Figure | None) -> str:
    return "not defined" if rho is None else told(rho, ".2f")


def _table(figures: Sequence[Figure]) -> Tensor:
    """float64 [layers, 1 + draws], the values first; the values alone where draws are missing."""
    values = torch.tensor([[figure.value] for figure in figures], dtype=torch.float64)
    draws = [figure.draws for figure in figures if figure.draws is not None]
    return torch.cat([values, torch.stack(draws)], 1) if len(draws) == len(figures) else values


def _at(figures: Sequence[Figure | None], count: int) -> list[Figure | None]:
    """Scores at so many even relative depths, linearly between the layers on either side."""
    known = [figure for figure in figures if figure is not None]
    images, resampling = known[0].images, known[0].resampling
    rows = F.interpolate(_table(known).T[None], count, mode="linear", align_corners=True)[0].T
    return [
        Figure(float(row[0]), row[1:] if len(row) > 1 else None, images, resampling) for row in rows
    ]
