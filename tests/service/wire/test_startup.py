import pytest

from rwsstore.errors import ConfigError
from rwsstore_service.settings import Settings
from rwsstore_service.wire.gate import Principal
from rwsstore_service.wire.tokens import provide_tokens
from tests.service.wire.asking import ADMIN, READER

MADE = "made-token-0123456789"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_loopback_a_token_is_made(host: str) -> None:
    settings = Settings.of(host=host, predict_tokens=f"bob:{READER}")
    tokens, made = provide_tokens(settings, make=lambda: MADE)
    assert made == MADE
    assert tokens.identify(f"Bearer {MADE}") == Principal("local", "admin")
    assert tokens.identify(f"Bearer {READER}") == Principal("bob", "predict")


def test_each_start_makes_another() -> None:
    _, one = provide_tokens(Settings.of())
    _, other = provide_tokens(Settings.of())
    assert one is not None
    assert other is not None
    assert one != other
    assert len(one) >= 43  # 256 bits


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_with_a_configured_token_none_is_made(host: str) -> None:
    settings = Settings.of(host=host, admin_tokens=f"alice:{ADMIN}")
    tokens, made = provide_tokens(settings, make=lambda: pytest.fail("made a token"))
    assert made is None
    assert tokens.identify(f"Bearer {ADMIN}") == Principal("alice", "admin")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "box.example", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("predict", ["", f"bob:{READER}"])
def test_elsewhere_it_refuses_to_start_without(host: str, predict: str) -> None:
    settings = Settings.of(host=host, predict_tokens=predict)
    with pytest.raises(ConfigError) as caught:
        provide_tokens(settings, make=lambda: pytest.fail("made a token"))
    message = str(caught.value)
    assert message.startswith(host)
    assert "RWS_ADMIN_TOKENS=operator:" in message
    assert "import secrets; print(secrets.token_urlsafe(32))" in message


def test_the_made_name_is_taken() -> None:
    with pytest.raises(ConfigError, match=r"'local' that is made where RWS_ADMIN_TOKENS is not"):
        provide_tokens(Settings.of(predict_tokens=f"local:{READER}"))
