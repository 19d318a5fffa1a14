"""The whole service in this process, over a real socket, and what it should compute."""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch
from fastapi import FastAPI
from PIL import Image
from torch import Tensor, nn

from rwsstore.bundled import bundled_model, bundled_store
from rwsstore.patches import Patch
from rwsstore.runtime import LiveModel, Variant
from rwsstore.store import Store
from rwsstore_service import Settings, create_app
from tests.service.box import ADMIN
from tests.service.wire.peers import serving

PNG = {"Content-Type": "image/png"}
_FILE = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Running:
    """A service that runs, and an admin's client of it.

    Attributes:
        app: the app itself, to break something in it.
        http: sends an admin's token.
        url: where it listens.
        folder: of its store and state.
        model: what it is called in URLs.
    """

    app: FastAPI
    http: httpx.Client
    url: str
    folder: Path
    model: str

    @property
    def store(self) -> Store:
        """Its store, opened a second time."""
        return open_store(self.folder)

    def get(self, path: str, **query: Any) -> Any:
        """Read something of the model."""
        answer = self.http.get(f"/v1/models/{self.model}{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def change(self, method: str, path: str = "", body: Any = None, **headers: str) -> Any:
        """Change the patch set; it has to go well."""
        answer = self.ask(method, path, body, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, method: str, path: str = "", body: Any = None, **headers: str) -> httpx.Response:
        """Ask for a change of the patch set."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"/v1/models/{self.model}{path}"
        return self.http.request(method, url, json=body, headers=sent)

    def replace(self, choices: Mapping[str, float]) -> Any:
        """Make a patch set active, whatever was."""
        patches = [{"patch": name, "alpha": alpha} for name, alpha in choices.items()]
        return self.change("PUT", "/patchset", {"patches": patches}, If_Match="*")

    def upload(self, patch: Patch) -> None:
        """Store a patch."""
        answer = self.http.post("/v1/patches", content=patch.to_bytes(), headers=_FILE)
        assert answer.status_code == 201, answer.text

    def predict(self, image: bytes, patchset: str = "active") -> httpx.Response:
        """Classify one PNG."""
        return self.http.post(
            f"/v1/models/{self.model}/predict",
            content=image,
            params={"patchset": patchset},
            headers=PNG,
        )


def open_store(folder: Path) -> Store:
    """The store of a service that has its files in a folder."""
    return Store(folder / "store", base=bundled_store())


@contextmanager
def running(folder: Path, *, name: str = "bundled", **settings: Any) -> Iterator[Running]:
    """Start the service on a free port, in a thread; stop it when the block ends.

    Args:
        folder: of its store and state.
        name: of the model.
        settings: further ones.
    """
    values = {
        "store": folder / "store",
        "state": folder / "state",
        "admin_tokens": f"operator:{ADMIN}",
        "model_name": name,
        "threads": 1,
        "rate_limit": 0,
        **settings,
    }
    app = create_app(Settings.of(**values))
    headers = {"Authorization": f"Bearer {ADMIN}"}
    with (
        serving(app) as server,
        httpx.Client(base_url=server.url, headers=headers, timeout=60) as http,
    ):
        yield Running(app, http, server.url, folder, name)


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and kind of a problem; asserts that it is one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:rwsstore:problem:")


def pictures(count: int, seed: int = 0, size: int = 32) -> Tensor:
    """Noise, uint8 [count, 3, size, size]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


def png(image: Tensor) -> bytes:
    """Write one image [3, H, W]."""
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(file, "PNG")
    return file.getvalue()


class Offline:
    """The library, without any service: the same store, the same clean model."""

    def __init__(self, folder: Path, model: nn.Module | None = None) -> None:
        clean = bundled_model() if model is None else model
        self.live = LiveModel(clean, open_store(folder), resident_bytes=0)
        self._built: tuple[tuple[tuple[str, float], ...], Variant] | None = None

    def state_digest(self, resolved: Iterable[tuple[str, float]]) -> str:
        """Of (patch, α) pairs."""
        return self._variant(resolved).digest

    def logits(self, resolved: Iterable[tuple[str, float]], images: Tensor) -> Tensor:
        """What these patches compute."""
        return self._variant(resolved)(images)

    def _variant(self, resolved: Iterable[tuple[str, float]]) -> Variant:
        """Build it, if it is not the last one."""
        wanted = tuple(resolved)
        if self._built is None or self._built[0] != wanted:
            self._built = wanted, self.live.variant(dict(wanted))
        return self._built[1]
