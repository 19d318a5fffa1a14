"""What has no row in the table of operations is unknown to all in the same way."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from rwsstore.models import ordered_layers
from rwsstore.models.folding import unfoldable_batchnorms
from rwsstore.models.graph import OPERATIONS, Graph, UnknownOperationError
from rwsstore.probes.bitflips.rerun import Steps, find_stream
from rwsstore.probes.parameter_corruption import by_type
from rwsstore.runtime import bounds, programs
from rwsstore.runtime.bounds import UNBOUNDED, Bounds
from rwsstore.runtime.programs import program_of
from tests.runtime.making import equal_bits, pixels, split_after


@fx.wrap
def sharpened(x: Tensor) -> Tensor:
    """Not looked into by a trace."""
    return x - x.mean() if bool(x.mean() > 0) else x


class _Wrapped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return sharpened(x)


class _Chained(nn.Module):
    """Conv, an operation, BatchNorm, conv."""

    def __init__(self, does: nn.Module) -> None:
        super().__init__()
        self.first, self.does = nn.Conv2d(3, 4, 3), does
        self.norm, self.last = nn.BatchNorm2d(4), nn.Conv2d(4, 2, 14)
        self.flat = nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.flat(self.last(self.norm(self.does(self.first(x)))))
        return logits


def _hooked() -> nn.Module:
    module = nn.ReLU()
    module.register_forward_hook(lambda _module, _inputs, out: out.square())
    return module


UNKNOWN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a function": (_Wrapped, "sharpened in 'does'"),
    "a method": (lambda: _Doing(lambda x: x.clamp_max(1)), "clamp_max in 'does'"),
    "a product": (lambda: _Doing(lambda x: x * 2), "mul in 'does'"),
    "a module": (nn.Softsign, "Softsign in 'does'"),
    "a module with parameters": (nn.PReLU, "PReLU in 'does'"),
    "a module with a hook": (_hooked, "ReLU in 'does'"),
}


class _Doing(nn.Module):
    def __init__(self, does: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = does

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def chained(make: Callable[[], nn.Module]) -> tuple[nn.Module, Graph, fx.Node]:
    """A model, its graph, and the operation in the middle."""
    model = _Chained(make()).eval()
    graph = Graph(model)
    (node,) = (node for node in graph.nodes if str(node.prev.target) == "first")
    return model, graph, node


@pytest.mark.parametrize(("make", "named"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_unknown_operation_is_unknown_to_all(make: Callable[[], nn.Module], named: str) -> None:
    model, graph, node = chained(make)
    assert graph.operation(node) is None
    with pytest.raises(UnknownOperationError, match=f"the operation {named} is not known"):
        graph.rule(node, "interval", {"between": None})
    assert unfoldable_batchnorms(model) == ("norm",)
    assert Bounds(graph).logits([]) == UNBOUNDED
    assert program_of(node.graph, model) is None
    graph.leave_out_identities()
    assert node in graph.nodes
    steps = Steps(model)
    stream = find_stream(steps, steps.readers(("first.weight",)))
    assert stream is not None
    assert stream.borders == {stream.head}
    assert not stream.through
    assert not stream.bridges


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_unknown_is_computed_all_the_same(name: str) -> None:
    make, _ = UNKNOWN[name]
    model, images = _Chained(make()).eval(), pixels().float() / 255
    layers = {layer.name: layer.parameters for layer in ordered_layers(model)}
    assert layers.keys() == {"first", "last"}
    with torch.inference_mode():
        split = split_after(model, ["first.weight"], images)
        assert split is not None
        assert equal_bits(split.whole(model, images), model(images))


def test_a_known_operation_is_known_to_all() -> None:
    model, graph, node = chained(nn.ReLU)
    assert graph.operation(node) is not None
    assert Bounds(graph).logits([]) != UNBOUNDED
    assert program_of(node.graph, model) is not None
    steps = Steps(model)
    stream = find_stream(steps, steps.readers(("first.weight",)))
    assert stream is not None
    assert [str(step.target) for step in stream.through] == ["does", "norm"]
    assert [str(step.target) for step in stream.bridges] == ["last"]


def test_parameters_of_an_unknown_module_are_of_no_component() -> None:
    groups = {group.name: group.parameters for group in by_type(_Chained(nn.PReLU()))}
    assert groups["other"] == ("does.weight",)
    assert list(groups) == ["conv", "norm", "other"]


@pytest.mark.parametrize(
    ("rules", "fact"),
    [(bounds._RULES, "interval"), (programs._ARGUMENTS, "text"), (programs._CALLS, "text")],
)
def test_every_rule_is_for_a_word_of_the_table(rules: dict[str, object], fact: str) -> None:
    assert rules.keys() <= {getattr(row, fact) for row in OPERATIONS} - {""}


def test_what_computes_one_operation_stands_in_one_row() -> None:
    found = [one for row in OPERATIONS for one in (*row.modules, *row.functions, *row.methods)]
    assert len(set(found)) == len(found)
