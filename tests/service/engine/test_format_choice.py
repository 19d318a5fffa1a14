"""Which compute format a model is served in, and what is said about it."""

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from rwsstore.bundled import bundled_model
from rwsstore.errors import ConfigError
from rwsstore.models import (
    Classifier,
    FormatAgreement,
    ModelCard,
    model_card_path,
    save_checkpoint,
    weights_fingerprint,
    write_model_card,
)
from rwsstore.runtime import FLOAT32, FORMATS, ComputeFormat, LiveModel
from rwsstore.runtime.comparing import FormatProbe
from rwsstore_service import Settings
from rwsstore_service.engine import format_choice
from rwsstore_service.engine.format_choice import FLOAT32_ALONE, FormatChoice, choose_format
from rwsstore_service.engine.host import ModelHost
from tests.runtime.making import MODELS
from tests.service.engine.hosting import IMAGES, House, model_of, same


def agreement(name: str, lowest: float = 100.0) -> FormatAgreement:
    return FormatAgreement(
        name=name, images=1000, top1_agreement=100.0, patch_sets=1, lowest_agreement=lowest,
        lowest_with="" if lowest == 100 else "snow", largest_difference=0.1,
    )  # fmt: skip


FOUND = (agreement("float32"), agreement("packed"), agreement("bf16", 99.4))


class Probe:
    """Takes the last of what is offered, and says what that was."""

    def __init__(self) -> None:
        self.offered: list[str] = []

    def __call__(
        self, model: nn.Module, offered: Sequence[ComputeFormat], *, size: int
    ) -> FormatProbe:
        assert isinstance(model, Classifier)
        assert size == model.spec.input_size
        self.offered = [one.name for one in offered]
        return FormatProbe(chosen=offered[-1], milliseconds=dict.fromkeys(self.offered, 2.0))


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    made = Probe()
    monkeypatch.setattr(format_choice, "fastest_format", made)
    return made


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "clean.safetensors"
    save_checkpoint(path, model_of())
    return path


def put_card(checkpoint: Path, *formats: FormatAgreement, weights: str = "") -> None:
    weights = weights or weights_fingerprint(model_of().state_dict())
    write_model_card(checkpoint, ModelCard(weights=weights, dataset="digits", formats=formats))


def choose(checkpoint: Path, **settings: Any) -> FormatChoice:
    return choose_format(model_of(), Settings.of(model=str(checkpoint), **settings))


def names(choice: FormatChoice) -> list[str]:
    return [one.name for one in choice.offered]


def test_the_fastest_of_those_offered(checkpoint: Path, probe: Probe) -> None:
    put_card(checkpoint, *FOUND, agreement("int3"))  # of a newer version
    found = choose(checkpoint)
    assert (found.format.name, found.why) == ("packed", "probe")
    assert names(found) == probe.offered == ["float32", "packed"]
    assert found.milliseconds == {"float32": 2.0, "packed": 2.0}
    assert found.agreements["bf16"].lowest_agreement == 99.4


def test_the_real_probe_takes_one_of_them(checkpoint: Path) -> None:
    put_card(checkpoint, *FOUND)
    found = choose(checkpoint)
    assert found.format.name in names(found) == ["float32", "packed"]
    assert found.milliseconds.keys() == {"float32", "packed"}
    assert all(value > 0 for value in found.milliseconds.values())


def test_without_a_card_float32(
    checkpoint: Path, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert choose(checkpoint) == FLOAT32_ALONE
    assert probe.offered == []
    assert "rws card" in caplog.text


def test_a_card_that_offers_nothing_else(checkpoint: Path, probe: Probe) -> None:
    put_card(checkpoint, agreement("bf16", 99.4))
    found = choose(checkpoint)
    assert (found.format, found.why, names(found)) == (FLOAT32, "only_offered", ["float32"])
    assert probe.offered == []


@pytest.mark.parametrize("damaged", [True, False])
def test_a_card_that_cannot_be_used_offers_nothing(
    checkpoint: Path, damaged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    put_card(checkpoint, *FOUND, weights="0" * 64)
    if damaged:
        model_card_path(checkpoint).write_text("{}")
    assert choose(checkpoint) == FLOAT32_ALONE
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert ("is no model card" if damaged else "is of the weights 000000") in line.message


def test_without_batching_the_exact_one(checkpoint: Path, probe: Probe) -> None:
    put_card(checkpoint, *FOUND)
    found = choose(checkpoint, batching=False)
    assert (found.format, found.why) == (FLOAT32, "exact")
    assert names(found) == ["float32", "packed"]
    assert probe.offered == []
    assert choose(checkpoint, batching=False, compute="packed").format.name == "packed"


@pytest.mark.parametrize("name", list(FORMATS))
def test_the_operator_may_have_any(
    checkpoint: Path, probe: Probe, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = choose(checkpoint, compute=name)
    assert (found.format.name, found.why) == (name, "operator")
    warnings = [line.message for line in caplog.records if line.levelname == "WARNING"]
    assert len(warnings) == (name != "float32")
    assert all(f"RWS_COMPUTE={name}" in line and "not measured" in line for line in warnings)
    caplog.clear()
    put_card(checkpoint, *FOUND)
    choose(checkpoint, compute=name)
    warnings = [line.message for line in caplog.records if line.levelname == "WARNING"]
    assert len(warnings) == (name not in ("float32", "packed"))
    if name == "bf16":
        assert "99.40 % with snow, and 99.5 % is asked for" in warnings[0]
    assert probe.offered == []


def test_the_bundled_model_has_a_card(probe: Probe) -> None:
    choose_format(bundled_model(), Settings.of())
    assert probe.offered[:3] == ["float32", "packed", "packed_channels_last"]


def test_a_host_computes_in_it(house: House) -> None:
    packed = FormatChoice(FORMATS["packed"], "operator", (FLOAT32,), {}, {})
    assert house.host.live.compute == FLOAT32
    assert house.host.format_choice == FLOAT32_ALONE
    host = ModelHost(
        "packed", house.model, house.store, house.journal, Settings.of(), format_choice=packed
    )
    assert (host.live.compute.name, host.format_choice) == ("packed", packed)
    live = LiveModel(house.model, compute=packed.format)
    assert same(host.live(IMAGES), live(IMAGES))
    assert torch.allclose(live(IMAGES), house.expected(), atol=1e-4)


def test_a_format_that_the_model_cannot_have_ends_the_start(house: House) -> None:
    packed = FormatChoice(FORMATS["packed"], "operator", (FLOAT32,), {}, {})
    loose = cast("Classifier", MODELS["loose"]())
    loose.spec = house.model.spec
    with pytest.raises(ConfigError, match=r"float32 only, not in packed"):
        ModelHost("loose", loose, house.store, house.journal, Settings.of(), format_choice=packed)


def test_one_that_only_a_prediction_shows_to_be_wrong_ends_it_too(house: House) -> None:
    bf16 = FormatChoice(FORMATS["bf16"], "operator", (FLOAT32,), {}, {})
    model = copy.deepcopy(house.model)
    with torch.no_grad():
        model.get_parameter("network.classifier.bias")[0] = 3.4e38  # infinity in bfloat16
    host = ModelHost("big", model, house.store, house.journal, Settings.of(), format_choice=bf16)
    with pytest.raises(ConfigError, match="in bf16"):
        host.start()
    assert not host.ready
