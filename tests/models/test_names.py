import pytest

from rwsstore.models import parse_layers, short_names
from tests.probes.making import model

CONV = "network.features.conv"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-3", [f"{CONV}1", f"{CONV}2", f"{CONV}3"]),
        ("2", [f"{CONV}2"]),
        ("3, 1", [f"{CONV}3", f"{CONV}1"]),
        ("conv1,conv13", [f"{CONV}1", f"{CONV}13"]),
        ("features.conv4,14", [f"{CONV}4", "network.classifier"]),
        (f"{CONV}2,4-5", [f"{CONV}2", f"{CONV}4", f"{CONV}5"]),
    ],
)
def test_layers_by_number_and_name(text: str, expected: list[str]) -> None:
    assert list(parse_layers(model(), text)) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["network.features.conv1", "network.features.conv2"], ["conv1", "conv2"]),
        (["network.conv1", "network.layer1.0"], ["conv1", "layer1.0"]),
        (["a.b", "a"], ["a.b", "a"]),
        (["conv1"], ["conv1"]),
        (["network.conv1"], ["conv1"]),
        ([], []),
    ],
)
def test_what_all_names_begin_with_is_left_out(names: list[str], expected: list[str]) -> None:
    assert short_names(names) == expected
