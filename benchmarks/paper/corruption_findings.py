"""What a paper found, asked of our numbers; each answer is computed. Here of parameter corruption.

How a finding is asked (the measures, the thresholds, the tests) is our own choice.
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

import torch

from rwsstore.probes.parameter_corruption import CorruptionReport, CorruptionRow

Reports = Mapping[str, CorruptionReport]
"""By network."""

CONFIRMED, MIXED, REFUTED, OPEN = "confirmed", "in part", "not confirmed", "undecided"
_FAR = 20.0
"""Points that the two kinds of corruption must lie apart at some ε."""
_LEVEL = 0.05
_RELABELINGS = 9_999


@dataclass(frozen=True)
class Finding:
    """One finding of the paper.

    Attributes:
        claim: as the paper has it.
        verdict: whether our numbers say so.
        reason: the numbers.
    """

    claim: str
    verdict: str
    reason: str

    @property
    def headline(self) -> dict[str, str]:
        """As JSON values."""
        return {"claim": self.claim, "verdict": self.verdict, "because": self.reason}


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


def norm_most_sensitive(types: Reports) -> Finding:
    """Is "norm" the type that loses most, wherever a network has it?"""
    answers, said = [], []
    for network, report in types.items():
        if "norm" in report.groups:
            for n in report.ns:
                drops = _drops(report, n)
                answers.append(max(drops, key=drops.__getitem__) == "norm")
                said.append(f"{network}, n = {n}: {_listed(drops)}")
    return Finding(
        "normalization is the most sensitive component", agreed(answers), "; ".join(said)
    )


def conv_before_linear(types: Reports) -> Finding:
    """Do convolutions lose more than fully-connected layers?"""
    answers, said = [], []
    for network, report in types.items():
        for n in report.ns:
            drops = {name: _drops(report, n)[name] for name in ("conv", "linear")}
            answers.append(drops["conv"] > drops["linear"])
            said.append(f"{network}, n = {n}: {_listed(drops)}")
    return Finding(
        "convolutions are more sensitive than fully-connected layers",
        agreed(answers),
        "; ".join(said),
    )


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
    """Correlate the ranks of values with their order (Spearman).

    Returns:
        (ρ, two-sided p-value of a permutation test with 9,999 seeded relabelings).
    """
    given = torch.tensor(values, dtype=torch.float64)
    ranks = (given[:, None] > given).double().sum(1) + (given[:, None] == given).double().sum(1) / 2
    order = torch.arange(len(values), dtype=torch.float64)
    ranks, order = ranks - ranks.mean(), order - order.mean()
    length = float(ranks.norm() * order.norm())
    if length == 0:
        return 0.0, 1.0
    found = float(ranks @ order) / length
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(_RELABELINGS, len(values), generator=generator, dtype=torch.float64)
    others = (ranks[drawn.argsort(1)] @ order / length).abs()
    as_far = int((others >= abs(found) - 1e-12).sum())
    return found, (1 + as_far) / (1 + _RELABELINGS)


def _gap(row: CorruptionRow) -> float:
    return (row.random_accuracy or 0.0) - row.gradient.accuracy


def _drops(report: CorruptionReport, n: int | None) -> dict[str, float]:
    return {group: report.mean_drop(group, n) or 0.0 for group in report.groups}


def _listed(drops: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {100 * drop:.0f} %" for name, drop in drops.items())


def agreed(answers: Sequence[bool]) -> str:
    """Whether all, some or none of the answers are yes."""
    if not any(answers):
        return REFUTED
    return CONFIRMED if all(answers) else MIXED
