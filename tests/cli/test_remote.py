"""`rws remote` against a small service on a real socket."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import httpx
import pytest

from rwsstore.cli.remote import command
from tests.cli.conftest import Rws
from tests.clients.fake import TOKEN, FakeService, served


@pytest.fixture
def fake() -> FakeService:
    return FakeService()


@pytest.fixture(autouse=True)
def box(fake: FakeService, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("RWS_TOKEN", TOKEN)
    with served(fake.handle) as url:
        monkeypatch.setenv("RWS_URL", url)
        yield url


def test_status(rws: Rws, fake: FakeService, box: str) -> None:
    found = rws("remote", "status")
    assert found.code == 0
    assert f"{box} is ready" in found.out
    assert "the clean model" in found.out
    assert "packed (the fastest of those offered)" in found.out
    assert "float32: 100.00 %, 3 ms" in found.out
    document = rws("remote", "status", "--json").document
    assert document["models"][0]["compute"]["format"] == "packed"
    assert (document["url"], document["ready"]) == (box, True)
    assert document["models"][0]["name"] == "bundled"
    fake.is_ready = False
    found = rws("remote", "status")
    assert (found.code, "NOT READY" in found.out) == (1, True)


def test_patches_and_show(rws: Rws, fake: FakeService) -> None:
    listed = rws("remote", "patches", "--json").document["patches"]
    assert [patch["name"] for patch in listed] == ["fog", "frost", "gaussian_noise"]
    only = rws("remote", "patches", "--corruption", "fog", "--bits", 8, "--fits", "--json")
    assert [patch["name"] for patch in only.document["patches"]] == ["fog"]
    assert fake.seen[-1].url.params["fits"] == "true"
    assert "fog@1" in rws("remote", "patches").out
    assert "rws remote push" in rws("remote", "patches", "--corruption", "smog").out
    shown = rws("remote", "show", "fog")
    assert listed[0]["digest"] in shown.out
    assert rws("remote", "show", "fog", "--json").document == listed[0]


def test_the_patch_set_stepwise(rws: Rws) -> None:
    assert rws("remote", "apply", "fog", "--alpha", 0.8, "--json").document["generation"] == 1
    assert "fog" in rws("remote", "patchset").out
    assert rws("remote", "apply", "frost", "--ta-loss", 1).code == 0
    assert "0.5" in rws("remote", "scale", "fog", "--alpha", 0.5).out
    assert rws("remote", "remove", "fog").code == 0
    on = rws("remote", "patchset", "--json").document["patches"]
    assert [(one["patch"], one["alpha"]) for one in on] == [("frost", 0.1)]
    assert "the clean model" in rws("remote", "clear").out
    assert "fog" in rws("remote", "rollback", 1).out
    history = rws("remote", "history", "--json", "--limit", 2).document
    assert [one["action"] for one in history["generations"]] == ["rollback", "clear"]
    table = rws("remote", "history", "--limit", 2).out
    assert "rollback to 1" in table
    assert f"--before {history['next_before']}" in table
    assert "0" in rws("remote", "history", "--before", 1).out


def test_audit(rws: Rws) -> None:
    rws("remote", "apply", "fog")
    table = rws("remote", "audit", "--limit", 1).out
    assert "apply" in table
    assert "rws remote audit --before 2" in table
    found = rws("remote", "audit", "--before", 2, "--json").document
    assert [(one["seq"], one["action"]) for one in found["records"]] == [(1, "start")]


def test_set_is_declarative_and_guarded(rws: Rws, fake: FakeService) -> None:
    made = rws("remote", "set", "fog=0.6,frost", "--json").document
    assert [(one["patch"], one["alpha"]) for one in made["patches"]] == [
        ("fog", 0.6),
        ("frost", 1.0),
    ]
    assert fake.seen[-1].headers["if-match"] == '"0"'
    assert rws("remote", "set", "none", "--if-match", 1).code == 0
    stale = rws("remote", "set", "fog", "--if-match", 0)
    assert (stale.code, stale.out) == (1, "")
    assert "it is 2" in stale.err
    assert rws("remote", "clear", "--if-match", 0).code == 1
    assert rws("remote", "set", "fog=x").code == 4
    assert rws("remote", "set", "fog,fog").code == 4


def test_verify(rws: Rws, fake: FakeService) -> None:
    assert "every bit" in rws("remote", "verify").out
    fake.is_ready = False
    found = rws("remote", "verify")
    assert (found.code, "features.0.weight differs" in found.out) == (1, True)
    assert rws("remote", "verify", "--json").document["ok"] is False


def test_predict(rws: Rws, tmp_path: Path, fake: FakeService) -> None:
    images = [tmp_path / "a[red].jpg", tmp_path / "b.jpg"]
    for image in images:
        image.write_bytes(b"\x01" + image.name.encode())
    rws("remote", "apply", "fog")
    table = rws("remote", "predict", *images, "--top-k", 2).out
    assert "a[red].jpg" in table
    assert "byte 2" in table
    assert "patch set fog=1, generation 1" in table
    found = rws("remote", "predict", *images, "--patchset", "frost=0.5", "--json").document
    assert found["patches"][0]["alpha"] == 0.5
    assert [one["image"] for one in found["predictions"]] == [str(image) for image in images]
    assert "patch set none, state" in rws("remote", "predict", images[0], "--patchset", "none").out
    assert rws("remote", "predict", tmp_path / "none.jpg").code == 3
    assert rws("remote", "predict").code == 2


def test_compose_and_delete(rws: Rws) -> None:
    made = rws("remote", "compose", "night", "fog=0.6,frost", "--json").document
    assert [part["alpha"] for part in made["parts"]] == [0.6, 1.0]
    assert "stored other@1" in rws("remote", "compose", "other", "fog=0.6").out
    assert rws("remote", "compose", "bad", "fog=").code == 4
    assert rws("remote", "delete", "other").out == "deleted other\n"
    rws("remote", "apply", "night")
    in_use = rws("remote", "delete", "night")
    assert (in_use.code, "is on" in in_use.err) == (1, True)


def test_refusals_are_one_line_and_a_code(rws: Rws, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = rws("remote", "apply", "smog")
    assert (missing.code, missing.out) == (3, "")
    assert missing.err == "error: no patch 'smog' in the store\n"
    assert rws("remote", "remove", "fog").code == 3
    assert rws("remote", "rollback", 9).code == 3
    assert rws("remote", "info").code == 2
    for wrong in (["apply", "../fog"], ["show", ".."], ["apply", "fog", "--alpha", "nan"],
                  ["apply", "fog", "--alpha", 1, "--ta-loss", 1], ["patchset", "--model", "a/b"],
                  ["push"], ["push", "fog", "--all"],
                  ["pull", "fog", "--out", "x", "--store", "y"]):  # fmt: skip
        assert rws("remote", *wrong).code == 2, wrong
    monkeypatch.delenv("RWS_TOKEN")
    refused = rws("remote", "clear")
    assert (refused.code, "RWS_TOKEN" in refused.err) == (1, True)
    assert rws("remote", "clear", "--url", "nowhere").code == 4


def test_the_token_comes_from_a_file_too(
    rws: Rws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RWS_TOKEN", "another")
    assert rws("remote", "clear").code == 1
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert rws("remote", "clear", "--token-file", file).code == 0
    file.write_text(f"{TOKEN}\nand more")
    found = rws("remote", "clear", "--token-file", file)
    assert (found.code, TOKEN in found.err) == (4, False)
    file.write_bytes(b"\xff\xfe")
    assert rws("remote", "clear", "--token-file", file).code == 4
    assert rws("remote", "clear", "--token-file", tmp_path / "none").code == 3


def test_nobody_there(rws: Rws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rwsstore_client._transport.Backoff.delay", lambda *_: None)
    with served(FakeService().handle) as url:
        pass
    found = rws("remote", "status", "--url", url)
    assert (found.code, found.out) == (1, "")
    assert f"cannot reach {url}" in found.err


def test_a_model_of_another_name_is_found(rws: Rws) -> None:
    with served(FakeService(model="mine").handle) as url:
        assert rws("remote", "patchset", "--url", url, "--json").document["model"] == "mine"
        rws("remote", "patchset", "--url", url, "--model", "mine")
        assert rws("remote", "predict", "--url", url, "--model", "mine", __file__).code == 0


def test_several_models_have_to_be_named(rws: Rws, fake: FakeService) -> None:
    def two(request: httpx.Request) -> httpx.Response:
        answer = fake.handle(request)
        (model,) = answer.json()["models"]
        return httpx.Response(200, json={"models": [model, {**model, "name": "other"}]})

    with served(two) as url:
        found = rws("remote", "patchset", "--url", url)
    assert (found.code, "bundled, other" in found.err) == (4, True)


def test_a_service_cannot_steer_the_terminal(rws: Rws, fake: FakeService) -> None:
    fake.history[0] = fake.history[0].model_copy(
        update={"actor": "\x1b[2J[red]eve[/]", "address": "\x9b31m"}
    )
    table = rws("remote", "history").out
    assert "[red]eve[/]" in table
    assert not {"\x1b", "\x9b"} & set(table)
    fake.patches[0] = replace(fake.patches[0], name="a\x1b]0;x\x07")
    assert "\x1b" not in rws("remote", "patches").out


def test_no_command_takes_the_token_itself() -> None:
    assert isinstance(command, click.Group)
    for name, sub in command.commands.items():
        options = {option for parameter in sub.params for option in parameter.opts}
        assert "--token-file" in options, name
        assert "--token" not in options, name


def test_without_the_sdk_it_says_what_to_install(rws: Rws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rwsstore_client", None)
    found = rws("remote", "status")
    assert (found.code, "rwsstore[remote]" in found.err) == (1, True)


def test_it_needs_no_torch() -> None:
    program = (
        "import sys; from rwsstore.cli.main import main\n"
        "assert main(['remote', 'apply', 'fog']) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
