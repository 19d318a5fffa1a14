"""A patch set of the bundled model is the same state digest, and the same weights to the bit."""

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rwsstore.patches import compose
from rwsstore.runtime import LiveModel, PatchBag
from tests.guards.faces import bundled_model, bundled_store
from tests.guards.frozen_files import read

_FRACTIONS = {
    "fog=0.6,gaussian_blur=0.4": {"fog": 0.6, "gaussian_blur": 0.4},
    "clat=0.1,hessian_aware=0.7,snow=1.3": {"clat": 0.1, "hessian_aware": 0.7, "snow": 1.3},
}


def surface() -> dict[str, Any]:
    """State digests by patch set, and hashes of the live weights."""
    store = bundled_store()
    names = sorted(entry.name for entry in store.list())
    night = compose("night", [(store.get("fog"), 0.6), (store.get("gaussian_noise"), 0.4)])
    bag = PatchBag([*(store.get(name) for name in names), night])
    live = LiveModel(bundled_model(), bag)
    requests: dict[str, dict[str, float | None]] = {
        "none": {},
        **{name: {name: None} for name in names},
        **{text: dict(alphas) for text, alphas in _FRACTIONS.items()},
        "night: fog=0.6,gaussian_noise=0.4": {"night": None},
        "night=0.5": {"night": 0.5},
    }
    return {
        "digests": {text: live.variant(wanted).digest for text, wanted in requests.items()},
        "weights": _live_weights(live),
    }


def _live_weights(live: LiveModel) -> dict[str, str]:
    found = {"none": _hash(live.active.state())}
    live.apply("fog")
    found["fog"] = _hash(live.active.state())
    live.apply("fog", 0.6)
    live.apply("gaussian_blur", 0.4)
    found["fog=0.6,gaussian_blur=0.4"] = _hash(live.active.state())
    live.remove("fog")
    live.remove("gaussian_blur")
    live.apply("night", 0.5)
    found["night=0.5"] = _hash(live.active.state())
    live.clear()
    found["none again"] = _hash(live.active.state())
    return found


def _hash(state: Mapping[str, Tensor]) -> str:
    hashed = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hashed.update(tensor.detach().contiguous().numpy().tobytes())
    return hashed.hexdigest()


def test_states_are_called_and_weigh_what_they_did() -> None:
    found, frozen = surface(), read("states")
    assert found["digests"] == frozen["digests"]
    assert found["weights"] == frozen["weights"]
    assert found["weights"]["none again"] == found["weights"]["none"]
