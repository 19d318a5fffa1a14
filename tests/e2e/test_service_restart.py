"""What survives a restart, and what happens where it cannot."""

from pathlib import Path

import pytest
from torch import Tensor

from rwsstore.models import Classifier, save_checkpoint
from rwsstore.patches import Patch
from rwsstore.store import Store
from tests.e2e.running import Offline, Running, pictures, png, problem_of, running
from tests.runtime.making import SIZE, bare_patch, with_golden
from tests.training.tiny import classifier

_IMAGE = png(pictures(1, size=SIZE)[0])


def model_of(seed: int) -> Classifier:
    return classifier("vgg16", size=SIZE, folded=True, seed=seed)


def patch_for(model: Classifier, name: str, seed: int = 0) -> Patch:
    return with_golden(model, bare_patch(model, name, seed=seed))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny model of one's own."""
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, model_of(0))
    return path


def damage(store: Store, name: str) -> None:
    """Flip one bit in the middle of a stored patch."""
    digest = store.resolve(name)
    (path,) = (path for path in store.root.rglob(f"*{digest[2:]}*") if path.is_file())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def set_up(service: Running) -> None:
    """Two patches stored, and four generations."""
    for number, name in enumerate(("mist", "rain")):
        service.upload(patch_for(model_of(0), name, seed=number))
    service.replace({"mist": 0.5})
    service.change("PUT", "/patchset/rain", {"alpha": 0.25})
    service.change("POST", "/rollback", {"generation": 2})


def test_everything_is_as_it_was(tmp_path: Path, checkpoint: Path) -> None:
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        set_up(service)
        before = [
            service.get("/patchset"),
            service.get("/history"),
            service.predict(_IMAGE).json()["predictions"],
            service.http.get("/v1/patches").json(),
        ]
        assert before[0]["generation"] == 4
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        after = [
            service.get("/patchset"),
            service.get("/history"),
            service.predict(_IMAGE).json()["predictions"],
            service.http.get("/v1/patches").json(),
        ]
        assert after == before
        assert service.get("/patchset", verify=True)["ok"]
        resolved = [(one["digest"], one["alpha"]) for one in before[0]["resolved"]]
        offline = Offline(tmp_path, model_of(0))
        assert offline.state_digest(resolved) == before[0]["state_digest"]
        assert service.change("POST", "/rollback", {"generation": 3})["generation"] == 5


def test_an_answer_is_given_again_after_a_restart(tmp_path: Path, checkpoint: Path) -> None:
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        set_up(service)
        first = service.ask("PUT", "/patchset/rain", {"alpha": 1}, Idempotency_Key="once")
        service.change("DELETE", "/patchset")
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        again = service.ask("PUT", "/patchset/rain", {"alpha": 1}, Idempotency_Key="once")
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        assert service.get("/patchset")["patches"] == []


@pytest.mark.parametrize("cure", ["clear", "replace", "roll back", "take it off"])
def test_a_damaged_patch_of_the_active_set(tmp_path: Path, checkpoint: Path, cure: str) -> None:
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        set_up(service)
        damage(service.store, "mist")
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        answer = service.http.get("/readyz")
        assert problem_of(answer) == (503, "unavailable")
        assert "generation 4 cannot be restored" in answer.json()["detail"]
        for patchset in ("active", " active "):
            assert problem_of(service.predict(_IMAGE, patchset)) == (503, "unavailable")
        assert service.http.get("/v2/models/tiny/ready").status_code == 503
        clean = service.predict(_IMAGE, "none")
        assert clean.json()["state_digest"] == Offline(tmp_path, model_of(0)).state_digest([])
        assert service.predict(_IMAGE, "rain=1").status_code == 200
        found = service.get("/patchset")
        assert found["generation"] == 4
        assert found["fault"] in answer.json()["detail"]
        verified = service.get("/patchset", verify=True)
        assert (verified["ok"], verified["problems"]) == (False, [found["fault"]])
        cured = heal(service, cure)
        assert cured["generation"] == 5
        assert service.http.get("/readyz").status_code == 200
        assert service.predict(_IMAGE).json()["state_digest"] == cured["state_digest"]
        assert service.get("/patchset", verify=True)["ok"]
        assert service.get("/patchset")["fault"] is None


def heal(service: Running, cure: str) -> dict[str, Tensor]:
    if cure == "clear":
        found = service.change("DELETE", "/patchset")
    elif cure == "replace":
        found = service.replace({"rain": 1.0})
    elif cure == "roll back":
        found = service.change("POST", "/rollback", {"generation": 1})
    else:
        found = service.change("DELETE", "/patchset/mist")
    answer: dict[str, Tensor] = found
    return answer


def test_a_damaged_patch_cannot_be_kept(tmp_path: Path, checkpoint: Path) -> None:
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        set_up(service)
        damage(service.store, "mist")
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        answers = [
            service.ask("PUT", "/patchset/rain", {"alpha": 1}),
            service.ask("PATCH", "/patchset/mist", {"alpha": 0.25}),
            service.ask("POST", "/rollback", {"generation": 4}),
        ]
        assert {answer.status_code for answer in answers} <= {404, 503}
        assert service.http.get("/readyz").status_code == 503
        assert service.get("/patchset")["generation"] == 4


def test_a_mended_store_serves_again(tmp_path: Path, checkpoint: Path) -> None:
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        set_up(service)
        before = service.get("/patchset")
        damage(service.store, "mist")
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        assert service.http.get("/readyz").status_code == 503
        Store(tmp_path / "store").publish(patch_for(model_of(0), "mist"))
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        assert service.http.get("/readyz").status_code == 200
        assert service.get("/patchset") == before


def test_another_model_starts_anew(tmp_path: Path, checkpoint: Path) -> None:
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        set_up(service)
        old = service.get("/patchset")
    save_checkpoint(checkpoint, model_of(1))
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        new = service.get("/patchset")
        assert (new["generation"], new["patches"]) == (5, [])
        assert new["state_digest"] == Offline(tmp_path, model_of(1)).state_digest([])
        for generation in (1, 4):
            answer = service.ask("POST", "/rollback", {"generation": generation})
            assert problem_of(answer) == (409, "other-model")
        assert problem_of(service.ask("PUT", "/patchset/mist")) == (422, "wrong-model")
        assert service.get("/patchset") == new
        assert service.predict(_IMAGE).json()["state_digest"] == new["state_digest"]
    save_checkpoint(checkpoint, model_of(0))
    with running(tmp_path, name="tiny", model=str(checkpoint)) as service:
        assert service.get("/patchset")["patches"] == []
        back = service.change("POST", "/rollback", {"generation": 4})
        assert (back["generation"], back["state_digest"]) == (7, old["state_digest"])
        history = service.get("/history")["generations"]
        assert [one["action"] for one in history[:3]] == ["rollback", "start", "start"]
