import io

import numpy as np
import pytest
from PIL import Image

from rwsstore.corruptions import CORRUPTIONS
from rwsstore.errors import MissingExtraError
from rwsstore.probes import compare_signatures, gather_signatures, summarize
from tests.probes.making import made_up, made_up_gains, model, patch


def pixels(picture: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image.convert("RGB"))


def test_each_matrix_is_a_picture() -> None:
    similarity = made_up(tuple(CORRUPTIONS)[3:8])
    gains = made_up_gains(similarity, tuple(CORRUPTIONS)[2:10])
    pictures = summarize(similarity, gains, relabelings=1).pictures()
    assert list(pictures) == ["norms", "cosine", "layers", "gains"]
    for picture in pictures.values():
        height, width, _ = pixels(picture).shape
        assert 250 < width < 3000
        assert 250 < height < 3000


def test_the_diagonal_of_the_cosines_is_the_darkest_blue() -> None:
    similarity = made_up(tuple(CORRUPTIONS)[:4])
    similarity.cosine.copy_(-similarity.cosine.abs()).fill_diagonal_(1.0)
    picture = pixels(summarize(similarity, relabelings=1).pictures()["cosine"])
    dark = (picture == (5, 48, 97)).all(2)  # the last colour of matplotlib's RdBu
    rows, columns = np.nonzero(dark[:, : int(0.8 * dark.shape[1])])
    assert len(rows) > 1000
    assert np.corrcoef(rows, columns)[0, 1] > 0.9  # from the upper left to the lower right


def test_cells_without_a_number_are_drawn_too() -> None:
    given = {"fog": patch("fog"), "snow": patch("snow", seed=1, layers=1)}
    similarity = compare_signatures(model(), gather_signatures(model(), given))
    assert list(summarize(similarity).pictures()) == ["norms", "cosine", "layers"]


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="plots"):
        summarize(made_up(("fog", "snow"))).pictures()
