"""Compiled parts of a forward pass against the modules that they are compiled of."""

import operator
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from rwsstore.models import ModelSpec, build
from rwsstore.models.graph import trace
from rwsstore.runtime import LiveModel, PatchBag, compute_format, splitting as splitting_module
from rwsstore.runtime.conversion import PrepackedConv2d, convert_layer
from rwsstore.runtime.formats import FORMATS
from rwsstore.runtime.programs import Parts, Program, apply_each, program_of
from rwsstore.speed.subjects import random_images, random_patches
from tests.runtime.making import equal_bits


def values(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def compiled(module: nn.Module) -> Program | None:
    module.eval()
    return program_of(
        _calls(module) if isinstance(module, nn.Sequential) else trace(module), module
    )


def _calls(module: nn.Sequential) -> fx.Graph:
    """Its layers one behind the other; packed tensors cannot be copied, as tracing does."""
    graph = fx.Graph()
    x = graph.placeholder("x")
    for name, _ in module.named_children():
        x = graph.call_module(name, (x,))
    graph.output(x)
    return graph


def normalization() -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(4)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean.copy_(values(4))
    layer.running_var.copy_(values(4).abs() + 0.5)
    return layer


def convolution(name: str, *, bias: bool = True) -> nn.Module:
    layer = nn.Conv2d(4, 6, 3, padding=1, stride=2, bias=bias)
    return convert_layer(layer, compute_format(name), (2, 4, 9, 9))


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "convolution": lambda: nn.Conv2d(4, 6, 3, padding=1),
    "convolution without bias": lambda: nn.Conv2d(4, 4, (3, 2), stride=2, groups=2, bias=False),
    "dilated": lambda: nn.Conv2d(4, 6, 3, dilation=(1, 2)),
    "packed": lambda: convolution("packed"),
    "packed without bias": lambda: convolution("packed_channels_last", bias=False),
    "packed bfloat16": lambda: convolution("bf16"),
    "lowered": lambda: convert_layer(nn.Linear(9, 3), compute_format("bf16"), None),
    "linear": lambda: nn.Linear(9, 3),
    "linear without bias": lambda: nn.Linear(9, 3, bias=False),
    "normalization": normalization,
    "normalization without weights": lambda: nn.BatchNorm2d(4, affine=False, eps=0.1),
    "ReLU": lambda: nn.ReLU(inplace=True),
    "largest": lambda: nn.MaxPool2d(2, ceil_mode=True),
    "largest with options": lambda: nn.MaxPool2d((3, 2), stride=1, padding=1, dilation=2),
    "mean": lambda: nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
    "mean with a divisor": lambda: nn.AvgPool2d(2, divisor_override=3),
    "mean of all": lambda: nn.AdaptiveAvgPool2d(1),
    "mean of parts": lambda: nn.AdaptiveAvgPool2d((3, 2)),
    "flat": lambda: nn.Flatten(),
    "flat in part": lambda: nn.Flatten(1, 2),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
@torch.inference_mode()
def test_a_layer_gives_its_own_bits(make: Callable[[], nn.Module]) -> None:
    x = values(2, 4, 9, 9)
    module = nn.Sequential(make()).eval()
    program = compiled(module)
    assert program is not None
    found, wanted = program(module, x.clone()), module(x.clone())
    assert found.dtype == wanted.dtype
    assert equal_bits(found.float(), wanted.float())


class _Doing(nn.Module):
    """One operation of two values."""

    def __init__(self, does: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.does = does

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.does(x, y)


@pytest.mark.parametrize(
    "does",
    [
        operator.add,
        torch.add,
        lambda x, y: F.relu(x, inplace=False) + torch.relu(y).relu(),
        lambda x, y: torch.cat([x, y], 1),
        lambda x, y: torch.cat((x, y), dim=2),
        lambda x, y: torch.flatten(x + y, 1),
        lambda x, y: (x + y).flatten(start_dim=1, end_dim=2),
    ],
)
def test_an_operation_gives_its_own_bits(does: Callable[[Tensor, Tensor], Tensor]) -> None:
    module, x, y = _Doing(does), values(2, 3, 4, 4), values(2, 3, 4, 4) + 1
    program = compiled(module)
    assert program is not None
    assert equal_bits(program(module, x, y), does(x, y))


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.GELU()),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding="same")),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")),
        nn.Sequential(nn.BatchNorm2d(4, track_running_stats=False)),
        nn.Sequential(nn.MaxPool2d(2, return_indices=True)),
        nn.Sequential(nn.AdaptiveAvgPool2d((None, 2))),
        _Doing(operator.mul),
        _Doing(lambda x, y: torch.add(x, y, alpha=2)),
        _Doing(lambda x, y: x + 0.5 * y),
        _Doing(lambda x, y: x.reshape(y.shape)),
    ],
)
def test_what_is_not_known_is_not_compiled(module: nn.Module) -> None:
    assert compiled(module) is None


def test_other_tensors_of_the_same_structure() -> None:
    first, second = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval() for _ in range(2))
    x, program = values(2, 3, 5, 5), compiled(first)
    assert program is not None
    with torch.inference_mode():
        for module in (second, first, second):
            assert equal_bits(program(module, x), module(x))


@pytest.mark.parametrize("sizes", [[1, 1, 1], [2, 1], [3]])
@pytest.mark.parametrize("name", ["float32", "packed", "bf16"])
@torch.inference_mode()
def test_layers_apart(sizes: Sequence[int], name: str) -> None:
    compute = compute_format(name)
    shape = (2, 3, 5, 5) if compute.packed else None
    layers = [convert_layer(nn.Conv2d(3, 4, 3), compute, shape).eval() for _ in sizes]
    graph, x = fx.Graph(), values(3, 3, 5, 5)
    apart, given = graph.placeholder("layer"), graph.placeholder("x")
    graph.output((graph.call_function(apply_each, (apart, given)),))
    root = nn.Sequential(layers[0])
    program = program_of(graph, root, ["0"])
    assert program is not None
    parts: Parts = (layers, sizes)
    (found,) = program(root, parts, x)
    rows = x.split_with_sizes(list(sizes))
    alone = [layer(own) for layer, own in zip(layers, rows, strict=True)]
    assert equal_bits(found.float(), torch.cat(alone).float())
    assert equal_bits(found.float(), apply_each(parts, x).float())


@pytest.mark.parametrize(
    ("network", "compute"),
    [("vgg16", "packed"), *(("resnet18", name) for name in FORMATS if name != "float32")],
)
def test_a_live_model_gives_the_bits_that_it_gives_in_python(
    network: str, compute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(ModelSpec(network=network, num_classes=5, width=0.0625, folded=True)).eval()
    patches, images = random_patches(model, 3), random_images(6, 32)

    def logits() -> list[Tensor]:
        made = LiveModel(model, PatchBag(patches), compute=compute_format(compute))
        variants = [made.variant({patch.name: None}) for patch in patches]
        mixes = [[0, 0, 1, 1, 2, 2], [2, 1, 0, 1, 2, 1], [1] * 6]
        return [made.predict_mixed(images, [variants[k] for k in mix]) for mix in mixes]

    made: list[Program | None] = []

    def noted(*given: object) -> Program | None:
        made.append(program_of(*given))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(splitting_module, "program_of", noted)
    found = logits()
    # The heads of one and of several, and two trunks; not what takes images to floats.
    assert sum(program is not None for program in made) >= 4
    monkeypatch.setattr(splitting_module, "program_of", lambda *_given: None)
    assert all(map(equal_bits, found, logits()))


def test_a_part_that_this_torch_has_not_stays_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_source: str) -> None:
        raise RuntimeError("unknown builtin op")

    monkeypatch.setattr(torch.jit, "CompilationUnit", missing)
    assert compiled(nn.Sequential(nn.ReLU())) is None


def test_a_program_holds_no_module() -> None:
    layer = PrepackedConv2d(nn.Conv2d(3, 4, 3), compute_format("packed"), (1, 3, 5, 5))
    module = nn.Sequential(layer)
    program = compiled(module)
    assert program is not None
    assert not any(isinstance(value, nn.Module) for value in vars(program).values())
