import json

import pytest

from rwsstore.errors import ConfigError, FormatError
from rwsstore.models import ModelSpec


def test_json_round_trip_is_canonical_and_exact() -> None:
    spec = ModelSpec(
        network="vgg16", num_classes=2, classes=("cat", "dog"), width=0.375, mean=(0.1, 0.2, 0.3)
    )
    text = spec.to_json()
    assert ModelSpec.from_json(text, what="x") == spec
    assert list(json.loads(text)) == sorted(ModelSpec.model_fields)
    assert " " not in text


def test_classes_may_be_a_list() -> None:
    fields = {"network": "vgg16", "num_classes": 2, "classes": ["a", "b"]}
    assert ModelSpec.model_validate(fields).classes == ("a", "b")


def test_a_specification_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ModelSpec(network="vgg16", num_classes=2).width = 2.0  # type: ignore[misc]  # the point


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_classes", 1),
        ("num_classes", 10**9),
        ("num_classes", "10"),
        ("batch_norm", 1),
        ("width", "1"),
        ("width", float("inf")),
        ("std", (float("nan"), 1.0, 1.0)),
        ("mean", (float("nan"), 0.0, 0.0)),
        ("width", 0.0),
        ("width", float("nan")),
        ("width", 17.0),
        ("network", ""),
        ("input_size", 0),
        ("std", (0.0, 1.0, 1.0)),
        ("std", (1.0, 1.0)),
        ("mean", (float("inf"), 0.0, 0.0)),
        ("classes", ("a",)),
        ("classes", ("a",) * 10),
        ("version", 2),
        ("colour", "red"),
    ],
)
def test_refuses(field: str, value: object) -> None:
    fields = {"network": "vgg16", "num_classes": 10, field: value}
    with pytest.raises(ConfigError, match="model specification"):
        ModelSpec(**fields)  # type: ignore[arg-type]  # that it is wrong is the point


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"network":"vgg16"}', '{"kind":"rws","network":"a","num_classes":2}']
)
def test_refuses_other_json(text: str) -> None:
    with pytest.raises(FormatError, match="some file"):
        ModelSpec.from_json(text, what="some file")
