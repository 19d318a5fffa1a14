from typing import Any

import pytest

from rwsstore.training import TrainingConfig


def test_defaults() -> None:
    config = TrainingConfig()
    assert (config.epochs, config.batch_size, config.learning_rate) == (15, 128, 0.1)
    assert (config.momentum, config.weight_decay, config.warmup) == (0.9, 5e-4, 0.1)


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TrainingConfig().epochs = 3  # type: ignore[misc]  # this is what is tested


@pytest.mark.parametrize(
    "fields",
    [
        {"epochs": 0}, {"epochs": 10_001}, {"batch_size": 0}, {"learning_rate": 0.0},
        {"learning_rate": -0.1}, {"learning_rate": float("nan")}, {"learning_rate": float("inf")},
        {"momentum": 1.0}, {"momentum": -0.1}, {"weight_decay": -1.0}, {"warmup": 1.1},
        {"label_smoothing": 1.0}, {"clip_norm": -1.0}, {"clip_norm": float("nan")},
        {"padding": -1}, {"seed": -1}, {"seed": 2**63}, {"version": 2}, {"epoch": 3},
    ],
    ids=str,
)  # fmt: skip
def test_values_out_of_range_and_unknown_keys_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        TrainingConfig(**fields)


def test_it_survives_json() -> None:
    config = TrainingConfig(epochs=3, learning_rate=0.123456789, flip=False, seed=2**62)
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config
