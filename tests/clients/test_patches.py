import os
from pathlib import Path

import httpx
import pytest

from rwsstore_client import (
    Client,
    ConflictError,
    DuplicatePatchError,
    PatchInUseError,
    ProtocolError,
    TaLoss,
    UnknownPatchError,
)
from tests.clients.fake import FakeService, sha256


def test_list_filters(rws: Client, fake: FakeService) -> None:
    assert [patch.name for patch in rws.patches.list()] == ["fog", "frost", "gaussian_noise"]
    assert [patch.name for patch in rws.patches.list(corruption="fog")] == ["fog"]
    rws.patches.list(kind="rws", bits=4, fits=True, all_versions=True, sort="touched")
    query = dict(fake.seen[-1].url.params)
    wanted = {"kind": "rws", "bits": "4", "fits": "true", "all_versions": "true", "sort": "touched"}
    assert query == {**wanted, "limit": "1000", "offset": "0"}


def test_list_reads_every_page(rws: Client, fake: FakeService) -> None:
    fake.page = 2
    assert [patch.name for patch in rws.patches.list()] == ["fog", "frost", "gaussian_noise"]
    assert [request.url.params["offset"] for request in fake.seen] == ["0", "2"]


def test_get(rws: Client) -> None:
    fog = rws.patches.get("fog")
    assert (fog.name, fog.version, fog.digest) == ("fog", 1, sha256(b"fog"))
    assert rws.patches.get("fog@1") == rws.patches.get(fog.digest) == fog
    with pytest.raises(UnknownPatchError, match="no patch 'smog'"):
        rws.patches.get("smog")


def test_content_and_download(rws: Client, tmp_path: Path) -> None:
    assert rws.patches.content("fog") == b"fog"
    file = rws.patches.download("fog", tmp_path / "fog.safetensors")
    assert file.read_bytes() == b"fog"
    with file.open("rb") as opened_before:
        rws.patches.download("frost", str(file))
        assert opened_before.read() == b"fog"  # whoever reads it sees the one or the other
    assert file.read_bytes() == b"frost"
    assert list(tmp_path.iterdir()) == [file]


def test_damaged_content_is_refused_and_the_file_left_alone(tmp_path: Path) -> None:
    def damaged(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"fig", headers={"ETag": f'"{sha256(b"fog")}"'})

    file = tmp_path / "fog.safetensors"
    file.write_bytes(b"before")
    with Client(transport=httpx.MockTransport(damaged)) as rws:
        with pytest.raises(ProtocolError, match="damaged"):
            rws.patches.content("fog")
        with pytest.raises(ProtocolError, match="damaged"):
            rws.patches.download("fog", file)
    assert file.read_bytes() == b"before"


def test_a_download_that_cannot_be_finished_leaves_nothing(
    rws: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        rws.patches.download("fog", tmp_path / "fog.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_upload_from_bytes_and_from_a_path(rws: Client, fake: FakeService, tmp_path: Path) -> None:
    made = rws.patches.upload(b"a patch", name="mine")
    assert (made.name, made.version, made.digest) == ("mine", 1, sha256(b"a patch"))
    assert fake.seen[-1].headers["content-type"] == "application/octet-stream"
    file = tmp_path / "mine.safetensors"
    file.write_bytes(b"another")
    assert rws.patches.upload(file, name="mine", expected_version=1).version == 2
    with pytest.raises(ConflictError, match="somebody"):
        rws.patches.upload(b"third", name="mine", expected_version=0)
    assert rws.patches.upload(str(file)).name == "uploaded"
    with pytest.raises(DuplicatePatchError) as twice:
        rws.patches.upload(file, name="mine")
    error = twice.value
    assert (error.name, error.version, error.digest) == ("mine", 2, sha256(b"another"))


def test_a_missing_file_is_not_asked_about(rws: Client, fake: FakeService, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rws.patches.upload(tmp_path / "none.safetensors")
    assert fake.seen == []


def test_delete(rws: Client) -> None:
    rws.model().patchset.apply("fog")
    with pytest.raises(PatchInUseError):
        rws.patches.delete("fog")
    rws.patches.delete("frost")
    assert [patch.name for patch in rws.patches.list()] == ["fog", "gaussian_noise"]


def test_compose(rws: Client, fake: FakeService) -> None:
    alpha = 0.1 + 0.2  # needs all 17 digits
    made = rws.patches.compose("foggy_night", {"fog": alpha, "frost": None}, expected_version=0)
    assert [(part.name, part.alpha) for part in made.parts] == [("fog", alpha), ("frost", 1.0)]
    rws.patches.compose("other", {"fog": TaLoss(1)})
    assert (
        fake.seen[-1].content == b'{"name": "other", "parts": [{"patch": "fog", "ta_loss": 1.0}]}'
    )
