"""What the paper on fragility found, asked of our numbers; each answer is computed.

How a finding is asked (the measures, the thresholds, the tests) is our own choice.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.paper.corruption_findings import (
    CONFIRMED,
    MIXED,
    OPEN,
    REFUTED,
    Finding,
    agreed,
)
from benchmarks.paper.filtering_maps import Maps
from benchmarks.paper.filtering_retraining import Retrained, gain
from benchmarks.paper.pages import told
from rwsstore.measure import Figure, Interval
from rwsstore.probes.filtering import FilteringReport, LayerScores

_LEAST = 3
"""Layers without which a rank correlation says nothing."""
_ALIKE = 0.5
"""Two maps agree where their rank correlation is above this, with its whole interval."""
_RETAINED = 1.0
"""Points of accuracy above chance that BatchNorm must make a difference of."""


def filtering_findings(maps: Maps, found: Mapping[str, Retrained]) -> dict[str, Finding]:
    """Ask every finding of the paper that our numbers can answer, once."""
    return {
        "kinds": _kinds(maps.bundled),
        "targets": _targets(maps.bundled),
        "data_sets": _data_sets(maps),
        "networks": _networks(maps),
        "batch_norm": _batch_norm(maps),
        "retraining": _retraining(found),
    }


def agreement(left: Sequence[Figure | None], right: Sequence[Figure | None]) -> Figure | None:
    """Spearman's rank correlation of two maps' layers, with draws over the images.

    Args:
        left: a score of each layer, or None where it is not defined.
        right: as many.

    Returns:
        Over the layers where both are defined in every draw; None: they are fewer than three.
    """
    pairs = [
        (a, b)
        for a, b in zip(left, right, strict=True)
        if a is not None and b is not None and a.draws is not None and b.draws is not None
    ]
    if len(pairs) < _LEAST:
        return None
    first, second = (_table(side) for side in zip(*pairs, strict=True))
    rho = _spearman(first, second)
    if not bool(rho.isfinite().all()):
        return None
    return Figure(float(rho[0]), rho[1:], pairs[0][0].images, pairs[0][0].resampling)


def alike(rhos: Sequence[Figure | None]) -> str:
    """Say whether maps are alike, of their rank correlations with one of them.

    One map that differs refutes it; where none can be told from the others it stays open.
    """
    intervals = [_interval(rho) for rho in rhos]
    if any(interval is not None and interval.high <= _ALIKE for interval in intervals):
        return REFUTED
    alike = [interval is not None and interval.low > _ALIKE for interval in intervals]
    return CONFIRMED if all(alike) else MIXED if any(alike) else OPEN


def retained(report: FilteringReport, name: str = "h1") -> float:
    """Accuracy above chance, in points, with all of a layer's weights gone; mean over layers."""
    chance = 100.0 / report.curves.classes
    curves = [curve for curve in report.curves.curves if curve.filter == name]
    return fmean(float(curve.accuracy[-1]) - chance for curve in curves)


def _kinds(report: FilteringReport) -> Finding:
    clear = [layer.kind for layer in report.scores if layer.clear]
    there, sure = len(set(clear)), len(clear)
    said = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    return Finding(
        "Parameters are fragile, robust or antifragile",
        CONFIRMED if there == 3 else MIXED if there == 2 else REFUTED,
        f"of {len(report.scores)} layers of the bundled model {said}; {sure} of these verdicts "
        "hold for the whole interval",
    )


def _targets(report: FilteringReport) -> Finding:
    intervals = [_interval(layer.mean["s3"]) for layer in report.scores]
    targeted = [
        layer.layer.rpartition(".")[2]
        for layer, interval in zip(report.scores, intervals, strict=True)
        if interval is not None and interval.high < 0
    ]
    some = 0 < len(targeted) < len(report.scores)
    return Finding(
        "Filtering shows which parameters an attack targets",
        CONFIRMED if some else MIXED if targeted else REFUTED,
        f"S3 is below 0 with its whole interval in {len(targeted)} of {len(report.scores)} layers"
        + (f": {', '.join(targeted)}" if targeted else ""),
    )


def _data_sets(maps: Maps) -> Finding:
    own, rhos, parts = _decisive(maps.coarse.scores), [], []
    for name, other in (("digits", maps.digits), ("half of the classes", maps.half)):
        rhos.append(agreement(own, _decisive(other.scores)))
        pairs = zip(maps.coarse.scores, other.scores, strict=True)
        same = sum(one.kind == two.kind for one, two in pairs)
        parts.append(f"{name}: {_rho(rhos[-1])}, {same} of {len(own)} layers of the same kind")
    return Finding(
        "The characteristics of layers do not depend on the data set",
        alike(rhos),
        f"{_asked('with the bundled model')}: " + "; ".join(parts),
    )


def _networks(maps: Maps) -> Finding:
    own, other = _decisive(maps.coarse.scores), _decisive(maps.resnet.scores)
    rho = None if None in own else agreement(_at(own, len(other)), other)
    with_draws = sum(figure is not None and figure.draws is not None for figure in other)
    return Finding(
        "Nor on the network",
        alike([rho]),
        f"{_asked('at equal relative depth')}: {len(own)} layers of the bundled model against "
        f"{with_draws} of the {len(other)} of the ResNet-18 (those with an interval): {_rho(rho)}",
    )


def _asked(where: str) -> str:
    return f"rank correlation of mean S2 {where}, alike if above {_ALIKE:g} with its interval"


def _batch_norm(maps: Maps) -> Finding:
    pairs = [("ResNet-18", maps.resnet, maps.resnet_folded)]
    if maps.unfolded is not None:
        pairs.append(("bundled model", maps.unfolded, maps.coarse))
    kept = {name: (retained(left), retained(folded)) for name, left, folded in pairs}
    differs = [left - folded > _RETAINED for left, folded in kept.values()]
    said = "; ".join(
        f"{name}: {left:.1f} points above chance with BatchNorm, {folded:.1f} with it folded"
        for name, (left, folded) in kept.items()
    )
    batch = retained(maps.resnet_batch)
    return Finding(
        "BatchNorm keeps a network going although all of a layer's weights are gone",
        agreed(differs),
        f"mean over the layers, evaluation mode; {said}. Normalizing by each batch's statistics, "
        f"as in training mode, the ResNet-18 keeps {batch:.1f}",
    )


def _retraining(found: Mapping[str, Retrained]) -> Finding:
    above = [
        (interval := gain(found, name).interval) is not None and interval.low > 0
        for name in ("fgsm", "pgd10")
    ]
    said, instead = (_gains(found, arm) for arm in ("selective", "fragile"))
    return Finding(
        "Retraining only robust and antifragile layers helps against attacks (about +10 points)",
        agreed(above),
        f"selective − plain, in points: {said}; the fragile layers instead − plain: {instead}",
    )


def _gains(found: Mapping[str, Retrained], arm: str) -> str:
    names = {"FGSM": "fgsm", "PGD-10": "pgd10", "TA": "ta"}
    return ", ".join(f"{name} {told(gain(found, key, arm), '+.1f')}" for name, key in names.items())


def _decisive(scores: Sequence[LayerScores]) -> list[Figure | None]:
    return [layer.mean["s2"] for layer in scores]


def _rho(rho: Figure | None) -> str:
    return "not defined" if rho is None else told(rho, ".2f")


def _interval(figure: Figure | None) -> Interval | None:
    return None if figure is None else figure.interval


def _table(figures: Sequence[Figure]) -> Tensor:
    """float64 [layers, 1 + draws], the values first; the values alone where draws are missing."""
    values = torch.tensor([[figure.value] for figure in figures], dtype=torch.float64)
    draws = [figure.draws for figure in figures if figure.draws is not None]
    return torch.cat([values, torch.stack(draws)], 1) if len(draws) == len(figures) else values


def _spearman(left: Tensor, right: Tensor) -> Tensor:
    """Along the layers, draw by draw: [layers, draws] twice to [draws]; NaN where one is flat."""
    a, b = _ranks(left), _ranks(right)
    return (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0))


def _ranks(values: Tensor) -> Tensor:
    """Centred ranks down each column, the mean rank for equals."""
    below = (values[:, None] > values[None]).double().sum(1)
    equal = (values[:, None] == values[None]).double().sum(1)
    ranks = below + equal / 2
    return ranks - ranks.mean(0)


def _at(figures: Sequence[Figure | None], count: int) -> list[Figure | None]:
    """Scores at so many even relative depths, linearly between the layers on either side."""
    known = [figure for figure in figures if figure is not None]
    table = _table(known)
    found: list[Figure | None] = []
    for number in range(count):
        place = number / max(1, count - 1) * (len(known) - 1)
        low = min(int(place), len(known) - 2)
        row = torch.lerp(table[low], table[low + 1], place - low)
        draws = row[1:] if len(row) > 1 else None
        found.append(Figure(float(row[0]), draws, known[0].images, known[0].resampling))
    return found
