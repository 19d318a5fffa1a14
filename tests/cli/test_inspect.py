from pathlib import Path

import pytest

from rwsstore.store import Store
from tests.cli.conftest import Bench, Rws


def test_a_checkpoint(bench: Bench, rws: Rws) -> None:
    document = rws("inspect", bench.model, "--json").document
    assert (document["type"], document["network"], document["folded"]) == ("model", "vgg16", True)
    assert len(document["layers"]) == 14
    assert document["layers"][0]["parameters"] == [
        "network.features.conv1.weight",
        "network.features.conv1.bias",
    ]
    assert "layers, shallowest first" in rws("inspect", bench.model).out


def test_a_patch_by_name_by_digest_and_as_a_file(bench: Bench, rws: Rws, tmp_path: Path) -> None:
    store = ["--store", bench.store]
    digest = Store(bench.store).resolve("fog")
    file = tmp_path / "fog.safetensors"
    file.write_bytes(Store(bench.store).read(digest))
    documents = [
        rws("inspect", what, *store, "--json").document for what in ("fog", digest[:8], file)
    ]
    assert documents[0] == documents[1] == documents[2]
    assert documents[0]["digest"] == digest
    assert documents[0]["corruption"] == "fog"
    table = rws("inspect", "fog", *store).out
    assert "robustness card" in table
    assert digest in table


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "0 bytes"), (b"\x80\x04junk" * 9, "header"), (b'{"json": true}' * 9, "header")],
)
def test_other_files_are_refused(rws: Rws, tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "strange.safetensors"
    file.write_bytes(content)
    outcome = rws("inspect", file)
    assert outcome.code == 4
    assert message in outcome.err


def test_what_is_not_there_is_not_found(bench: Bench, rws: Rws) -> None:
    assert rws("inspect", "nothing.safetensors").code == 3
    assert rws("inspect", "snow", "--store", bench.store).code == 3
