import json
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from rwsstore.canonical import canonical_json
from rwsstore.errors import ConfigError
from rwsstore.models import architecture_fingerprint
from rwsstore.patches import MAX_PATCHES, AlphaRange, GoldenProbe, PatchMetadata, RecordedRecipe
from rwsstore.patches.metadata import ModelTensor, Part
from tests.patches.factory import SHAPES, make_model, make_test_patch

GOOD = make_test_patch().metadata
PART = Part(digest="a" * 64, alpha=0.5)
COMPOSED: dict[str, Any] = {
    "kind": "composed", "tensors": {}, "bits": None, "corruption": None, "severity": None,
    "layers": (), "parts": (PART,),
}  # fmt: skip


def test_defaults() -> None:
    assert GOOD.version == 1
    assert GOOD.alpha == AlphaRange(recommended=1.0, minimum=0.0, maximum=2.0)
    assert GOOD.card is None
    assert GOOD.tool.startswith("rwsstore ")


def test_shapes_are_those_of_the_patched_tensors() -> None:
    assert GOOD.shapes() == {
        "network.conv1.bias": (4,),
        "network.conv1.weight": (4, 3, 3, 3),
    }


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(GOOD, "name", "snow")  # noqa: B010 - an assignment is refused by mypy already


def test_revised_leaves_the_old_one() -> None:
    assert GOOD.revised(name="snow").name == "snow"
    assert GOOD.name == "fog"
    assert GOOD.revised() == GOOD


def test_json_round_trip() -> None:
    full = GOOD.revised(
        recipe=RecordedRecipe(
            name="robust", seed=3, parameters={"a": True, "b": 1, "c": 1.0, "d": "x"}
        ),
        attack="pgd",
        budget=0.03,
    )
    again = PatchMetadata.model_validate_json(canonical_json(full.model_dump(mode="json")))
    assert again == full
    assert again.recipe is not None
    kinds = {key: type(value) for key, value in again.recipe.parameters.items()}
    assert kinds == {"a": bool, "b": int, "c": float, "d": str}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": 2}, "version: Input should be 1"),
        ({"kind": "other\x1b"}, "kind: String should match"),
        ({"name": ""}, "name: String should match"),
        ({"name": "Fog"}, "name: String should match"),
        ({"name": "fog__2"}, "name: String should match"),
        ({"name": "../fog"}, "name: String should match"),
        ({"name": "fog\n"}, "name: String should match"),
        ({"name": "f\u043eg"}, "name: String should match"),
        ({"name": "f" * 65}, "name: String should have at most 64"),
        ({"architecture": "A" * 64}, "architecture: String should match"),
        ({"architecture": "0" * 64}, "architecture is not the fingerprint of the tensors"),
        ({"clean_weights": "0" * 63}, "clean_weights: String should match"),
        ({"model": ()}, "model: Tuple should have at least 1"),
        ({"model": GOOD.model[::-1]}, "model: tensors stand by name, each once"),
        ({"model": (*GOOD.model, GOOD.model[-1])}, "model: tensors stand by name, each once"),
        ({"layers": ("",)}, "layers.0: String should match"),
        ({"layers": ("a\x1bb",)}, "layers.0: String should match"),
        ({"layers": ["network.conv1"]}, "layers: Input should be a valid tuple"),
        ({"tensors": {"other.weight": 8}}, "tensors: 'other.weight' is not a tensor of the model"),
        ({"tensors": {"network.conv1.weight": 4}}, "has 4 bits; expected 8"),
        ({"tensors": {"network.conv1.bias": 8}}, "'network.conv1.bias' has 8 bits; expected 32"),
        ({"tensors": {}}, "has tensors and bits, and no parts"),
        ({"bits": None}, "has 8 bits; expected None"),
        ({"bits": 5}, "bits: Input should be 32, 16, 8, 4, 3 or 2"),
        ({"bits": True}, "bits: Input should be 32"),
        ({"parts": (PART,)}, "has tensors and bits, and no parts"),
        ({"corruption": None}, "corruption and severity go together"),
        ({"severity": None}, "corruption and severity go together"),
        ({"severity": 0}, "severity: .* greater than or equal to 1"),
        ({"severity": 6}, "severity: .* less than or equal to 5"),
        ({"severity": 1.0}, "severity: Input should be a valid integer"),
        ({"corruption": "f\x00g"}, "corruption: String should match"),
        ({"dataset": "x" * 4097}, "dataset: String should have at most 4096"),
        ({"dataset": "\ud800"}, "dataset: Input should be a valid string"),
        ({"dataset": "\x9b31m"}, "dataset: String should match"),
        ({"budget": 0.0}, "budget: Input should be greater than 0"),
        ({"budget": float("nan")}, "budget: Input should be (greater than 0|a finite number)"),
        ({"budget": float("inf")}, "budget: Input should be a finite number"),
        ({"anchor": "late"}, "anchor: Input should be 'clean'"),
        ({"projected": 1}, "projected: Input should be a valid boolean"),
        ({"tool": None}, "tool: Input should be a valid string"),
        ({"extra": 1}, "extra: Extra inputs are not permitted"),
        ({"x\x1b[2J" * 99: 1}, r"x\\x1b\[2J.*\.\.\.$"),
    ],
)
def test_values_that_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=f"^description of a patch: .*{match}") as error:
        GOOD.revised(**changes)
    assert len(str(error.value)) < 400
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"parts": ()}, "has parts, and neither tensors"),
        ({"tensors": {"network.conv1.bias": 32}}, "has parts, and neither tensors"),
        ({"bits": 8}, "has parts, and neither tensors"),
        ({"golden": GoldenProbe(seed=0, count=1, size=8)}, "has parts, and neither tensors"),
        ({"parts": (PART, PART)}, "parts: stand by digest, each once"),
        ({"parts": (PART, Part(digest="0" * 64, alpha=1.0))}, "parts: stand by digest"),
        (
            {"parts": tuple(Part(digest=f"{n:064x}", alpha=1.0) for n in range(MAX_PATCHES + 1))},
            "parts: Tuple should have at most 1000",
        ),
    ],
)
def test_composed_descriptions_that_are_refused(changes: dict[str, Any], match: str) -> None:
    assert GOOD.revised(**COMPOSED).kind == "composed"
    with pytest.raises(ConfigError, match=match):
        GOOD.revised(**{**COMPOSED, **changes})


@pytest.mark.parametrize(
    ("shape", "dtype", "bits"),
    [((), "int64", 32), ((2, 3), "float16", 8), ((2, 3), "bfloat16", 8), ((2, 0), "float32", 8)],
)
def test_only_float32_tensors_with_numbers_are_patched(
    shape: tuple[int, ...], dtype: str, bits: int
) -> None:
    model = make_model(("a", shape, dtype))
    changes = {"model": model.tensors, "architecture": model.architecture, "tensors": {"a": bits}}
    with pytest.raises(ConfigError, match="only float32 tensors that are not empty are patched"):
        GOOD.revised(**changes)


def test_one_number_alone_can_be_patched() -> None:
    model = make_model(("a", (), "float32"))
    changes = {"model": model.tensors, "architecture": model.architecture, "tensors": {"a": 32}}
    assert GOOD.revised(**changes).shapes() == {"a": ()}


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"recommended": 2.5}, "minimum ≤ recommended ≤ maximum"),
        ({"minimum": 1.5}, "minimum ≤ recommended ≤ maximum"),
        ({"minimum": -0.5}, "greater than or equal to 0"),
        ({"maximum": 1e7}, "less than or equal to 1000000"),
        ({"maximum": float("inf")}, "less than or equal to 1000000|finite"),
        ({"recommended": float("nan")}, "greater than or equal to 0|finite"),
        ({"recommended": True}, "valid number"),
        ({"recommended": "1"}, "valid number"),
    ],
)
def test_ranges_of_alpha_that_are_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        AlphaRange(**fields)


@pytest.mark.parametrize("alpha", [0, 0.0, 1, 1.5, 2.0])
def test_alphas_within_the_range(alpha: float) -> None:
    checked = AlphaRange().check(alpha, "fog")
    assert checked == alpha
    assert type(checked) is float


@pytest.mark.parametrize(
    "alpha",
    [-1e-9, 2.0000001, float("nan"), float("inf"), float("-inf"), 1e30, 10**400, -(10**400)],
)
def test_alphas_out_of_the_range(alpha: float) -> None:
    with pytest.raises(
        ConfigError, match=r"alpha of 'fog' is .*; this patch takes 0 to 2"
    ) as error:
        AlphaRange().check(alpha, "fog")
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("alpha", [True, False, "1", "nan", None, [1.0]])
def test_alphas_that_are_no_numbers(alpha: Any) -> None:
    with pytest.raises(ConfigError, match=r"alpha of 'fog' is .*; expected a number"):
        AlphaRange().check(alpha, "fog")


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"count": 0}, "greater than or equal to 1"),
        ({"count": 65}, "less than or equal to 64"),
        ({"size": 1025}, "less than or equal to 1024"),
        ({"count": 9, "size": 1024}, "9 images of 1024 pixels square"),
        ({"seed": 2**63}, "less than"),
    ],
)
def test_probe_batches_that_are_refused(fields: dict[str, int], match: str) -> None:
    assert GoldenProbe(seed=-(2**63), count=8, size=1024)
    with pytest.raises(ValidationError, match=match):
        GoldenProbe(**{"seed": 0, "count": 8, "size": 32, **fields})


@pytest.mark.parametrize("alpha", [0.0, -0.0, -1.0, float("nan"), 1e7])
def test_parts_are_there_at_some_strength(alpha: float) -> None:
    with pytest.raises(ValidationError):
        Part(digest="a" * 64, alpha=alpha)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "x\x07", None, [1]])
def test_parameters_of_a_recipe_are_plain_values(bad: Any) -> None:
    with pytest.raises(ValidationError):
        RecordedRecipe(name="robust", seed=0, parameters={"rate": bad})


@pytest.mark.parametrize("shape", [(-1,), (2**63,), (1,) * 17])
def test_shapes_of_a_model_are_bounded(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError):
        ModelTensor(name="a", shape=shape, dtype="float32")


@pytest.mark.parametrize("dtype", ["float32", "bool", "float8_e4m3fn", "complex128"])
def test_the_model_may_hold_tensors_of_any_dtype(dtype: str) -> None:
    assert ModelTensor(name="a", shape=(), dtype=dtype).dtype == dtype


def test_negative_zero_is_zero() -> None:
    text = AlphaRange(minimum=-0.0).model_dump_json()
    assert json.loads(text)["minimum"] == 0
    assert "-" not in text


def test_the_fingerprint_is_that_of_the_models_package() -> None:
    state = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    assert GOOD.architecture == architecture_fingerprint(state)
