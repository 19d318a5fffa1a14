"""Clients that predict and change patch sets all at once, and remember every answer."""

import json
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import torch
from torch import Tensor

from tests.e2e.running import PNG, pictures, png
from tests.service.api.oip.wire import HEADER, binary_request, read_answer
from tests.service.box import ADMIN

NAMES = ("fog", "frost", "gaussian_noise", "motion_blur")
_ALPHAS = (0.2, 0.4, 0.6, 0.8, 1.0)
_MODEL = "/v1/models/bundled"
_BATCHES = tuple(pictures(count, seed=seed) for seed, count in enumerate((1, 1, 2, 2, 3, 5)))
_FILES = tuple([png(image) for image in batch] for batch in _BATCHES)


@dataclass(frozen=True)
class Seen:
    """One answer to a prediction.

    Attributes:
        patchset: what was asked for.
        batch: number of the images that were sent.
        images: themselves.
        numbers: float32 logits, or of each image the float64 probabilities of all classes, falling.
        is_logits: which of both.
        digest: the state digest that the answer names.
        generation: that it names.
        at_least: the newest generation that was acknowledged to anybody before it was asked.
    """

    patchset: str
    batch: int
    images: Tensor
    numbers: Tensor
    is_logits: bool
    digest: str
    generation: int | None
    at_least: int


@dataclass(frozen=True)
class Made:
    """One acknowledged change.

    Attributes:
        action: what was asked for.
        answer: the patch set that it made.
        matched: the generation that it was asked to follow on; None for any.
    """

    action: str
    answer: dict[str, Any]
    matched: int | None


class Traffic:
    """Everybody who talks to the service.

    Args:
        url: of the service.
        bad: patches that may never become active, by name, with the status that refuses each.
    """

    def __init__(self, url: str, bad: dict[str, int] | None = None) -> None:
        self.seen: list[Seen] = []
        self.made: list[Made] = []
        self._url, self._bad = url, dict(bad or {})
        self._newest = 0

    def run(self, *, predictors: int, predictions: int, changers: int, changes: int) -> None:
        """Start all at once; every client sends its number of requests."""
        together = threading.Barrier(predictors + changers)
        errors: list[BaseException] = []

        def client(act: Callable[[httpx.Client, random.Random], None], seed: int, n: int) -> None:
            try:
                with self._client() as http:
                    together.wait(30)
                    draw = random.Random(seed)
                    for _ in range(n):
                        act(http, draw)
            except BaseException as error:
                errors.append(error)

        threads = [
            threading.Thread(target=client, args=(self._predict, seed, predictions))
            for seed in range(predictors)
        ] + [
            threading.Thread(target=client, args=(self._change, 1000 + seed, changes))
            for seed in range(changers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def change_until_cut(self, seed: int, after: int, enough: threading.Event) -> None:
        """Change the patch set until the service goes away.

        Args:
            seed: of what is done.
            after: how many acknowledged changes are enough.
            enough: set when there are so many, or when something went wrong.
        """
        draw = random.Random(seed)
        try:
            with self._client() as http:
                while True:
                    self._change(http, draw)
                    if len(self.made) >= after:
                        enough.set()
        except httpx.TransportError:
            return
        finally:
            enough.set()

    def _client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        return httpx.Client(base_url=self._url, headers=headers, timeout=120)

    def _predict(self, http: httpx.Client, draw: random.Random) -> None:
        patchset = draw.choice(["active", "active", "none", *(_own_set(draw) for _ in range(4))])
        ask = draw.choice([self._rest, self._oip])
        self.seen.append(ask(http, draw, patchset, self._newest))

    def _rest(self, http: httpx.Client, draw: random.Random, patchset: str, newest: int) -> Seen:
        which = draw.randrange(len(_BATCHES))
        files, url = _FILES[which], f"{_MODEL}/predict"
        query = {"patchset": patchset, "top_k": "10"}
        if len(files) == 1:
            answer = http.post(url, content=files[0], params=query, headers=PNG)
        else:
            parts = [("images", ("image", file, "image/png")) for file in files]
            answer = http.post(url, files=parts, data=query)
        found = _sound(answer).json()
        rows = [[top["probability"] for top in one["top"]] for one in found["predictions"]]
        return Seen(
            patchset, which, _BATCHES[which], torch.tensor(rows, dtype=torch.float64), False,
            found["state_digest"], found["generation"], newest,
        )  # fmt: skip

    def _oip(self, http: httpx.Client, draw: random.Random, patchset: str, newest: int) -> Seen:
        which = draw.randrange(len(_BATCHES))
        images = _BATCHES[which]
        if draw.random() < 0.5:
            images = images.float() / 255
        about, logits = ask_for_logits(http, images, patchset)
        return Seen(
            patchset, which, images, logits, True,
            about["state_digest"], about.get("generation"), newest,
        )  # fmt: skip

    def _change(self, http: httpx.Client, draw: random.Random) -> None:
        if self._bad and draw.random() < 0.25:
            self._refused(http, draw.choice(sorted(self._bad)))
        act = draw.choice(
            [self._replace, self._replace, self._apply, self._scale, self._remove, self._back]
        )
        made = act(http, draw)
        if made is not None:
            self.made.append(made)
            self._newest = max(self._newest, made.answer["generation"])

    def _refused(self, http: httpx.Client, name: str) -> None:
        answer = http.put(f"{_MODEL}/patchset/{name}")
        assert answer.status_code == self._bad[name], answer.text

    def _replace(self, http: httpx.Client, draw: random.Random) -> Made:
        names = draw.sample(NAMES, draw.randrange(len(NAMES)))
        patches = [{"patch": name, "alpha": draw.choice(_ALPHAS)} for name in names]
        generation = int(http.get(f"{_MODEL}/patchset").headers["etag"].strip('"'))
        while True:
            answer = http.put(
                f"{_MODEL}/patchset",
                json={"patches": patches},
                headers={"If-Match": f'"{generation}"'},
            )
            if answer.status_code != 412:
                return Made("replace", _sound(answer).json(), generation)
            generation = answer.json()["current_generation"]

    def _apply(self, http: httpx.Client, draw: random.Random) -> Made:
        answer = http.put(
            f"{_MODEL}/patchset/{draw.choice(NAMES)}", json={"alpha": draw.choice(_ALPHAS)}
        )
        return Made("apply", _sound(answer).json(), None)

    def _scale(self, http: httpx.Client, draw: random.Random) -> Made | None:
        answer = http.patch(
            f"{_MODEL}/patchset/{draw.choice(NAMES)}", json={"alpha": draw.choice(_ALPHAS)}
        )
        return self._if_on("scale", answer)

    def _remove(self, http: httpx.Client, draw: random.Random) -> Made | None:
        return self._if_on("remove", http.delete(f"{_MODEL}/patchset/{draw.choice(NAMES)}"))

    def _if_on(self, action: str, answer: httpx.Response) -> Made | None:
        if answer.status_code == 404:
            assert answer.json()["type"] == "urn:rwsstore:problem:not-applied"
            return None
        return Made(action, _sound(answer).json(), None)

    def _back(self, http: httpx.Client, draw: random.Random) -> Made:
        to = draw.randrange(max(self._newest, 1)) + 1
        answer = http.post(f"{_MODEL}/rollback", json={"generation": to})
        return Made("rollback", _sound(answer).json(), None)


def ask_for_logits(
    http: httpx.Client, images: Tensor, patchset: str
) -> tuple[dict[str, Any], Tensor]:
    """Predict in binary: the answer's parameters, and logits [B, C]."""
    outputs = [{"name": "logits", "parameters": {"binary_data": True}}]
    body, length = binary_request(images, outputs=outputs, parameters={"patchset": patchset})
    answer = _sound(http.post("/v2/models/bundled/infer", content=body, headers={HEADER: length}))
    found, tensors = read_answer(answer.content, int(answer.headers[HEADER]))
    return found["parameters"], tensors["logits"]


def history_of(http: httpx.Client) -> dict[int, dict[str, Any]]:
    """Every generation that there was."""
    found: dict[int, dict[str, Any]] = {}
    before: int | None = None
    while True:
        query = {"limit": 1000} if before is None else {"limit": 1000, "before": before}
        page = _sound(http.get(f"{_MODEL}/history", params=query)).json()
        found |= {one["generation"]: one for one in page["generations"]}
        before = page["next_before"]
        if before is None:
            return found


def pairs(resolved: Iterable[dict[str, Any]]) -> tuple[tuple[str, float], ...]:
    """(digest, α) of what an answer lists."""
    return tuple((one["digest"], one["alpha"]) for one in resolved)


def _own_set(draw: random.Random) -> str:
    """Some patches, each at a strength of its own: about 3,000 sets."""
    names = draw.sample(NAMES, draw.randrange(1, len(NAMES) + 1))
    return ",".join(f"{name}={draw.choice(_ALPHAS)}" for name in names)


def _sound(answer: httpx.Response) -> httpx.Response:
    assert answer.status_code == 200, (answer.request.url, answer.text, json.dumps(answer.text))
    return answer
