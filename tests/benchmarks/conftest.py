"""What the tests of benchmarks share."""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest
from matplotlib.figure import Figure


@pytest.fixture(scope="session", autouse=True)
def _drawn_once() -> Iterator[None]:
    """A figure that was drawn before is not laid out again; it is known by a sketch without layout.

    To lay one out takes most of the time of a picture, and studies run again and again here.
    """
    savefig, kept = Figure.savefig, dict[tuple[Any, ...], bytes]()

    def once(self: Figure, file: BinaryIO, **options: Any) -> None:
        layout, sketch = self.get_layout_engine(), io.BytesIO()
        self.set_layout_engine("none")
        savefig(self, sketch, format="png", dpi=30)
        self.set_layout_engine(layout)
        key = sketch.getvalue(), tuple(self.get_size_inches()), tuple(sorted(options.items()))
        if key not in kept:
            picture = io.BytesIO()
            savefig(self, picture, **options)
            kept[key] = picture.getvalue()
        file.write(kept[key])

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(Figure, "savefig", once)
        yield
