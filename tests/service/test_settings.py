"""Settings, and the page that describes them."""

import re
from pathlib import Path
from typing import Any

import pytest

from rwsstore.errors import ConfigError
from rwsstore.runtime import FORMATS
from rwsstore_service.describe import GROUPS, settings_page
from rwsstore_service.settings import Settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"RWS_{name.upper()}", raising=False)


def test_every_setting_stands_on_the_page_once() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(Settings.model_fields)
    rows = re.findall(r"^\| `RWS_([A-Z_]+)` \|", settings_page(), re.MULTILINE)
    assert [row.lower() for row in rows] == grouped


def test_every_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert "|" not in field.description, name


def test_defaults_on_the_page_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page shows as default gives that default."""
    rows = re.findall(r"^\| `(RWS_[A-Z_]+)` \| `([^`]+)` \|", settings_page(), re.MULTILINE)
    assert len(rows) > 25
    for name, value in rows:
        monkeypatch.setenv(name, value)
    assert Settings.of() == Settings.model_construct()


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RWS_PORT", "9000")
    monkeypatch.setenv("RWS_CORS_ORIGINS", "https://a.example, https://b.example,")
    monkeypatch.setenv("RWS_ALLOWED_HOSTS", "box.example")
    monkeypatch.setenv("RWS_BATCHING", "false")
    monkeypatch.setenv("RWS_STORE", "")
    settings = Settings.of(host=None, port=None)
    assert settings.port == 9000
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.allowed_hosts == ("box.example",)
    assert not settings.batching
    assert settings.store is None
    assert Settings.of(port=1).port == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", ""),
        ("port", 65_536),
        ("port", "x"),
        ("model_name", "../x"),
        ("threads", 0),
        ("queue_size", 0),
        ("max_pixels", 10**9),
        ("header_timeout", 0),
        ("body_timeout", "nan"),
        ("idle_timeout", "inf"),
        ("rate_limit", "nan"),
        ("rate_limit", -1),
        ("log_format", "xml"),
        ("tracing_endpoint", "file:///etc/passwd"),
        ("allowed_hosts", "a b"),
        ("max_header_bytes", 100),
        ("compute", "float16"),
        ("compute", "Auto"),
    ],
)
def test_a_value_that_is_not_allowed_names_its_variable(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"RWS_{name.upper()}"):
        Settings.of(**{name: value})


def test_values_that_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match="RWS_MAX_IMAGE_BYTES is more than RWS_MAX_BODY_BYTES"):
        Settings.of(max_image_bytes=2**21, max_body_bytes=2**20)
    with pytest.raises(ConfigError, match="RWS_RATE_LIMIT"):
        Settings.of(rate_limit=0.0001)


@pytest.mark.parametrize("name", ["my model", "-clean", "f\u043eg", "a" * 65, "x\n"])
def test_a_checkpoint_whose_name_cannot_stand_in_urls(name: str) -> None:
    with pytest.raises(ConfigError, match="RWS_MODEL_NAME"):
        Settings.of(model=f"runs/{name}.safetensors")
    assert Settings.of(model=f"{name}.safetensors", model_name="mine").served_name == "mine"


def test_every_compute_format_can_be_asked_for() -> None:
    assert Settings.of().compute == "auto"
    for name in ("auto", *FORMATS):
        assert Settings.of(compute=name).compute == name
        assert name in str(Settings.model_fields["compute"].description)


def test_tokens_do_not_show() -> None:
    settings = Settings.of(admin_tokens="operator:a-very-secret-token")
    assert "secret" not in repr(settings)
    assert "secret" not in str(settings.model_dump())


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("box.example", False),
        ("localhost.example", False),
    ],
)
def test_who_reaches_it(host: str, loopback: bool) -> None:
    assert Settings.of(host=host).on_loopback == loopback


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "bundled"),
        ({"model": "runs/clean.safetensors"}, "clean"),
        ({"model": "clean.safetensors", "model_name": "cifar"}, "cifar"),
    ],
)
def test_what_the_model_is_called(values: dict[str, str], name: str) -> None:
    assert Settings.of(**values).served_name == name


def test_where_the_state_lies(tmp_path: Path) -> None:
    assert Settings.of(state=tmp_path).state_path == tmp_path
    # Each store has a state of its own: the history speaks of its patches.
    assert Settings.of(store=tmp_path / "box").state_path == tmp_path / "box.state"
    assert Settings.of().state_path.name == "store.state"
    assert Settings.of(store=Path("bundled")).state_path == Settings.of().state_path
