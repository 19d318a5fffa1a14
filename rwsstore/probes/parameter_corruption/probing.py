"""Corrupt group after group over grids of n and ε, and measure (section 3 of the paper)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import product
from typing import Any

from torch import Tensor, nn

from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.errors import ConfigError
from rwsstore.files import Results
from rwsstore.models import scratch_copy, weights_fingerprint
from rwsstore.probes.parameter_corruption import corruption, indicator
from rwsstore.probes.parameter_corruption.corruption import Constraint, Group
from rwsstore.probes.parameter_corruption.report import By, CorruptionReport, CorruptionRow, Outcome
from rwsstore.progress import SILENT, Reporter

_GROUPINGS = {
    "type": corruption.by_type,
    "layer": corruption.by_layer,
    "module": corruption.by_module,
}


@dataclass(frozen=True)
class ProbeOptions:
    """What is corrupted, and by how much.

    Attributes:
        epsilons: ε, each above 0, rising.
        by: "table": all parameters as one group; "type", "layer" or "module": one at a time.
        p: of the norm, 1 to infinity.
        ns: n, each 1 or more, or None for all; none twice.
        draws: random corruptions for each group, n and ε; 0: gradient-based only.
        seed: of the first draw; the next have the numbers after it.
        batch_size: images a step.

    Raises:
        ConfigError: one is out of its range.
    """

    epsilons: tuple[float, ...]
    by: By = "table"
    p: float = 2.0
    ns: tuple[int | None, ...] = (None,)
    draws: int = 3
    seed: int = 0
    batch_size: int = 250

    def __post_init__(self) -> None:
        for epsilon in self.epsilons:
            for n in self.ns:
                Constraint(epsilon, self.p, n)  # refuses what is out of range
        if not self.epsilons or list(self.epsilons) != sorted(set(self.epsilons)):
            raise ConfigError(f"ε is {list(self.epsilons)}; expected one or more, rising")
        if not self.ns or len(set(self.ns)) != len(self.ns):
            raise ConfigError(f"n is {list(self.ns)}; expected one or more, none twice")
        if self.by != "table" and self.by not in _GROUPINGS:
            raise ConfigError(f"by is {self.by!r}; expected table, {', '.join(_GROUPINGS)}")
        if self.draws < 0 or not 0 <= self.seed < 2**63 - self.draws or self.batch_size < 1:
            raise ConfigError(
                f"draws is {self.draws}, seed {self.seed}, batch_size {self.batch_size}; expected "
                "0 or more, 0 to 2⁶³ − 1, 1 or more"
            )


def probe_corruption(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    options: ProbeOptions,
    *,
    gradient_of: tuple[Tensor, Tensor] | None = None,
    layers: Sequence[str] | None = None,
    name: str = "images",
    results: Results | None = None,
    progress: Reporter = SILENT,
) -> CorruptionReport:
    """Measure accuracy under corruption; the model is left as it is, to the bit.

    Args:
        model: in evaluation mode.
        images: test images, uint8 or floats in [0, 1]; [N, 3, H, W].
        labels: theirs, int64 [N].
        options: what is corrupted.
        gradient_of: images and labels that the gradient and the loss changes are of; None: the
            test images, so that loss and accuracy tell of the same data.
        layers: corrupt these alone, names as in `ordered_layers`; with `by` "table" or "layer".
        name: of the test images, for the report.
        results: what was measured before, so that a run can be taken up again; keys begin with
            the model's fingerprint, the images must be those of its identity.
        progress: where to report; a step a corruption.

    Raises:
        ConfigError: the model cannot be run in evaluation mode, `layers` are not its layers, or
            with `by` "table" an n is larger than the number of parameters.
        TensorError: images are not as said, or the gradient is not finite.
        DataError: labels are missing or out of range.
    """
    test = indicator.Sample.of(model, images, labels, batch_size=options.batch_size)
    source = test
    if gradient_of is not None:
        source = indicator.Sample.of(model, *gradient_of, batch_size=options.batch_size)
    groups = _groups(model, options, layers)
    kept = Results(None, {}) if results is None else results
    scratch, own_key = scratch_copy(model), weights_fingerprint(model.state_dict())[:16]

    @cache
    def gradient() -> Mapping[str, Tensor]:
        names = [parameter for group in groups for parameter in group.parameters]
        return indicator.loss_gradient(model, source, names, progress=progress).tensors

    def measured() -> indicator.LossAndAccuracy:
        """Loss on the gradient's images, accuracy on the test images."""
        tested = indicator.measure(scratch, test)
        if source is test:
            return tested
        return indicator.LossAndAccuracy(indicator.measure(scratch, source).loss, tested.accuracy)

    clean = indicator.LossAndAccuracy(**kept.value(f"{own_key}/clean", lambda: asdict(measured())))

    def tried(group: Group, constraint: Constraint, seed: int | None) -> dict[str, Any]:
        own = {parameter: gradient()[parameter] for parameter in group.parameters}
        if seed is None:
            vector = corruption.gradient_corruption(own, constraint)
        else:
            vector = corruption.random_corruption(own, constraint, seed=seed)
        with corruption.corrupting(scratch, vector):
            found = measured()
        change = indicator.loss_change(clean, found)
        return asdict(Outcome(corruption.first_order_change(vector, own), change, found.accuracy))

    def outcome(group: Group, constraint: Constraint, seed: int | None = None) -> Outcome:
        """Of one corruption, gradient-based without a seed, if that was not measured before."""
        names = sha256_hex(canonical_json(group.parameters).encode())[:8]
        kind = "gradient" if seed is None else f"random {seed}"
        key = (
            f"{own_key}/{group.name} {names}/p {constraint.p!r}/n {constraint.n or 'all'}/"
            f"eps {constraint.epsilon!r}/{kind}"
        )
        return Outcome(**kept.value(key, partial(tried, group, constraint, seed)))

    rows = []
    grid = list(product(groups, options.ns, map(float, options.epsilons)))
    with progress.task("corruptions", total=len(grid) * (1 + options.draws)) as task:
        for group, n, epsilon in grid:
            # At most n of k entries differ from 0: with n above k that is any number of them.
            most = None if n is None or n >= group.size else n
            constraint = Constraint(epsilon, float(options.p), most)
            found, drawn = outcome(group, constraint), []
            task.advance(note=f"{group.name}, ε = {epsilon:g}: {found.accuracy:.1f} %")
            for draw in range(options.draws):
                drawn.append(outcome(group, constraint, options.seed + draw))
                task.advance()
            rows.append(CorruptionRow(group.name, group.size, n, epsilon, found, tuple(drawn)))
    return CorruptionReport(
        by=options.by,
        p=float(options.p),
        dataset=name,
        images=len(test),
        gradient_images=len(source),
        classes=test.classes,
        seed=options.seed,
        clean=clean,
        rows=tuple(rows),
    )


def _groups(
    model: nn.Module, options: ProbeOptions, layers: Sequence[str] | None
) -> tuple[Group, ...]:
    by = options.by
    if layers is not None:
        known = {group.name: group for group in corruption.by_layer(model)}
        if by not in ("table", "layer") or not layers or not set(layers) <= set(known):
            raise ConfigError(
                f"layers are {list(layers)}, by is {by!r}; expected some of {', '.join(known)}, "
                "and by table or layer"
            )
        if by == "layer":
            return tuple(group for name, group in known.items() if name in layers)
        names = [parameter for layer in layers for parameter in known[layer].parameters]
        return (corruption.named_group(model, names, name=f"{len(layers)} layers"),)
    if by != "table":
        return _GROUPINGS[by](model)
    group = corruption.all_parameters(model)
    for n in options.ns:
        if n is not None and n > group.size:
            raise ConfigError(f"n is {n}; the model has {group.size} parameters")
    return (group,)
