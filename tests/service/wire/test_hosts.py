import pytest

from rwsstore.errors import ConfigError
from rwsstore_service.settings import Settings
from rwsstore_service.wire.gate import Hosts
from rwsstore_service.wire.problems import ProblemError

LOOPBACK = ["localhost", "LocalHost:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:65535"]
# What no web page can be reached under by the public DNS.
PRIVATE = [*LOOPBACK, "edge-box:8000", "testserver", "127.0.0.2", "192.168.1.7:8000", "[::2]"]


@pytest.mark.parametrize("value", PRIVATE)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_addresses_and_names_of_one_word_are_answered(host: str, value: str) -> None:
    Hosts(Settings.of(host=host)).check([value])


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["evil.example"],
        ["evil.example:8000"],
        ["localhost.evil.example"],
        ["127.0.0.1.evil.example"],
        ["127.0.0.1@evil.example"],
        ["evil.example@127.0.0.1"],
        ["localhost:"],
        ["localhost:8000:1"],
        ["localhost/"],
        ["localhost\n"],
        ["localhost\x00"],
        [" localhost"],
        ["localhost, evil.example"],
        ["localhost", "localhost"],
        ["localhost", "evil.example"],
        ["localhost."],
        ["[localhost]"],
        ["127.0.0.256"],
        ["1.2.3"],
        ["::1"],
        ["localhosť"],
        ["x" * 2**20],
    ],
)
def test_rebound_names_are_refused_on_loopback(values: list[str]) -> None:
    with pytest.raises(ProblemError) as caught:
        Hosts(Settings.of()).check(values)
    assert caught.value.kind.status == 421
    assert "RWS_ALLOWED_HOSTS" in caught.value.detail
    assert "evil" not in caught.value.detail


@pytest.mark.parametrize("values", [[], ["evil.example"], ["\x00"], LOOPBACK])
def test_elsewhere_every_name_is_answered(values: list[str]) -> None:
    Hosts(Settings.of(host="0.0.0.0")).check(values)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_configured_names_are_answered_and_the_loopback_ones_still(host: str) -> None:
    hosts = Hosts(Settings.of(host=host, allowed_hosts="Box.example, [2001:db8::1]"))
    for value in ("box.example", "BOX.EXAMPLE:443", "[2001:DB8::1]:8000", *PRIVATE):
        hosts.check([value])
    for value in ("other.example", "1.2.3", "box.example.evil.example"):
        with pytest.raises(ProblemError):
            hosts.check([value])


@pytest.mark.parametrize("value", ["box:8000", "*", "a/b", "::1", "a b", "[", "ä.example"])
def test_names_that_are_none_are_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^RWS_ALLOWED_HOSTS: "):
        Settings.of(allowed_hosts=value)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RWS_ALLOWED_HOSTS", "a.example, b.example")
    assert Settings.of().allowed_hosts == ("a.example", "b.example")
