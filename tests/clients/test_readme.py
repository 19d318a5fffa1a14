"""The examples of the package's README run as they are written."""

import builtins
import re
from functools import partial
from pathlib import Path

import pytest

import rwsstore_client
from rwsstore_client import AsyncClient, Client
from tests.clients.fake import TOKEN, FakeService

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_examples_run(
    number: int,
    fake: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RWS_TOKEN", TOKEN)
    for name in ("road.jpg", "a.jpg", "b.jpg"):
        Path(name).write_bytes(name.encode())
    for client in (Client, AsyncClient):
        stand_in = partial(client, transport=fake.transport)
        monkeypatch.setattr(rwsstore_client, client.__name__, stand_in)
    source = BLOCKS[number].replace("the admin token that rws serve shows", TOKEN)
    exec(compile(source, f"README example {number}", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out or fake.seen


def test_what_it_names_is_there() -> None:
    text = README.read_text()
    for name in re.findall(r"`([A-Z][A-Za-z]+(?:Error|Client))`", text):
        assert hasattr(rwsstore_client, name) or hasattr(builtins, name), name
    errors = {name for name in rwsstore_client.__all__ if name.endswith("Error")}
    assert all(f"`{name}`" in text for name in errors)
