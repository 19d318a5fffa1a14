"""From which images were classified right to the figures of a report."""

__all__ = ["Assembly", "Measured"]

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rwsstore.evaluation.bootstrap import Figure, Interval, mean_of
from rwsstore.evaluation.report import CorruptionResult, Pair, RivalResult, StoredResult
from rwsstore.patches import Patch


class Measured(NamedTuple):
    """What was classified, and by which model.

    Attributes:
        model: "clean", a bit width of the patches ("stored", "8"), or the rival's batch size.
        patch: the corruption whose patch was on; None: the clean model, or the rival.
        corruption: of the images; None: clean ones.
        severity: of that corruption.
    """

    model: str | int
    patch: str | None = None
    corruption: str | None = None
    severity: int | None = None


class Assembly:
    """Puts the parts of a report together.

    Args:
        figures: accuracies in percent.
        severities: of every corruption.
        chosen: each corruption's patch as stored; None where there is none.
    """

    def __init__(
        self,
        figures: Mapping[Measured, Figure],
        severities: Sequence[int],
        chosen: Mapping[str, Patch | None],
    ) -> None:
        self._figures, self._severities, self._chosen = figures, severities, chosen
        self.clean = figures[Measured("clean")]

    def stored(self, bits: str, patches: Mapping[str, Patch]) -> StoredResult:
        """All patches at one bit width."""
        without = mean_of([self._mean("clean", None, name) for name in self._chosen])
        patched = mean_of([self._patched_mean(bits, name) for name in self._chosen])
        lost = self.clean - without
        gap = (patched - without) / lost if lost.value > 0 else None
        return StoredResult(
            patch_payload_bytes=sum(patch.payload_bytes for patch in patches.values()),
            patch_file_bytes=sum(patch.file_bytes for patch in patches.values()),
            corruptions={name: self._corruption(bits, name) for name in self._chosen},
            mean=Pair(**_pair(without, patched)),
            gap_recovered=None if gap is None else gap.value,
            gap_recovered_interval=None if gap is None else gap.interval,
        )

    def rival(self, batch: int) -> RivalResult:
        """Re-estimated BatchNorm at one batch size."""
        clean = self._figures[Measured(batch)]
        figures = {name: self._mean(batch, None, name) for name in self._chosen}
        mean = mean_of(list(figures.values()))
        return RivalResult(
            clean_accuracy=clean.value,
            corruptions={name: figure.value for name, figure in figures.items()},
            mean=mean.value,
            clean_accuracy_interval=clean.interval,
            corruption_intervals=_intervals(figures),
            mean_interval=mean.interval,
        )

    def _corruption(self, bits: str, name: str) -> CorruptionResult:
        patch = self._chosen[name]
        cost = self.clean if patch is None else self._figures[Measured(bits, name)]
        pair = _pair(self._mean("clean", None, name), self._patched_mean(bits, name))
        return CorruptionResult(
            **pair,
            patch=None if patch is None else patch.name,
            digest=None if patch is None else patch.digest,
            patched_clean_accuracy=cost.value,
            patched_clean_accuracy_interval=cost.interval,
            by_severity={
                severity: self._pair_at(bits, name, severity) for severity in self._severities
            },
        )

    def _pair_at(self, bits: str, name: str, severity: int) -> Pair:
        clean = self._figures[Measured("clean", None, name, severity)]
        return Pair(**_pair(clean, self._figures.get(Measured(bits, name, name, severity), clean)))

    def _patched_mean(self, bits: str, name: str) -> Figure:
        """RA with the corruption's patch on; the clean model's where there is none."""
        if self._chosen[name] is None:
            return self._mean("clean", None, name)
        return self._mean(bits, name, name)

    def _mean(self, model: str | int, patch: str | None, corruption: str) -> Figure:
        keys = [Measured(model, patch, corruption, severity) for severity in self._severities]
        return mean_of([self._figures[key] for key in keys])


def _pair(clean: Figure, patched: Figure) -> dict[str, Any]:
    """The fields of a `Pair`."""
    return {
        "clean_model": clean.value,
        "patched": patched.value,
        "clean_model_interval": clean.interval,
        "patched_interval": patched.interval,
        "gain_interval": (patched - clean).interval,
    }


def _intervals(figures: Mapping[str, Figure]) -> dict[str, Interval] | None:
    found = {name: figure.interval for name, figure in figures.items()}
    known = {name: interval for name, interval in found.items() if interval is not None}
    return known if len(known) == len(found) else None
