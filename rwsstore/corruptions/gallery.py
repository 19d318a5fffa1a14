"""One image under every corruption at every severity, on a labelled sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rwsstore.corruptions.apply import corrupt
from rwsstore.corruptions.registry import CORRUPTIONS, GROUPS, find_corruption
from rwsstore.corruptions.rows import SEVERITIES, severity_table, table_for
from rwsstore.errors import ConfigError, TensorError

_PAPER, _INK, _MUTED = "#ffffff", "#1f2933", "#7b8794"
# Smaller images are enlarged, pixel by pixel, to about this many screen pixels.
_COMFORTABLE = 128
# A sheet of more rows than this has two columns.
_TALLEST = 7

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_gallery(
    image: Tensor,
    *,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    severities: Sequence[float] = SEVERITIES,
    seed: int = 0,
    table: str | None = None,
    frost_overlays: Sequence[Tensor] | None = None,
) -> Image.Image:
    """Draw a sheet: corruptions in rows, group by group, severities in columns.

    Args:
        image: uint8 [3, H, W].
        corruptions: names; drawn in the registry's order.
        severities: 1 to 5, also in between.
        seed: of the corruptions; the image's index is 0.
        table: name of the severity table; None for the one that suits the image's size.
        frost_overlays: photographs for frost; without them the sheet says "synthetic frost".

    Raises:
        TensorError: the image is no uint8 [3, H, W].
        UnknownNameError: no such corruption or table.
        ConfigError: a parameter is not as said.
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise TensorError(
            f"the image is {image.dtype} {list(image.shape)}; expected uint8 [3, H, W]"
        )
    if not corruptions or not severities:
        raise ConfigError("a gallery needs at least one corruption and one severity")
    for name in corruptions:
        find_corruption(name)
    height, width = image.shape[1:]
    chosen = table_for(height, width) if table is None else severity_table(table)
    made = partial(corrupt, image[None], seed=seed, table=table, frost_overlays=frost_overlays)
    rows = []
    for name in CORRUPTIONS:
        if name in corruptions:
            label = _label(name, is_synthetic=frost_overlays is None)
            cells = [made(name=name, severity=severity)[0] for severity in severities]
            rows.append(_Row(name, label, cells))
    notes = (chosen.note(height, width), f"seed {seed}")
    return _Sheet(image, rows, tuple(map(str, severities)), notes).draw()


def _label(name: str, *, is_synthetic: bool) -> str:
    if name == "frost" and is_synthetic:
        return "synthetic frost"
    return name.replace("_", " ").replace("jpeg", "JPEG")


@dataclass(frozen=True)
class _Row:
    name: str
    label: str
    cells: Sequence[Tensor]


class _Sheet:
    """Where everything goes. Lengths are in pixels of the sheet and follow from the cell's."""

    def __init__(
        self, image: Tensor, rows: Sequence[_Row], severities: Sequence[str], notes: Sequence[str]
    ) -> None:
        self.image, self.rows, self.severities, self.notes = image, rows, severities, notes
        height, width = image.shape[1:]
        self.zoom = max(1, round(_COMFORTABLE / min(height, width)))
        self.width, self.height = width * self.zoom, height * self.zoom
        unit = min(self.width, self.height)
        self.gap = max(4, unit // 26)
        self.margin = max(24, unit // 4)
        self.heading = max(36, unit // 4)
        self.between = self.margin * 3 // 2
        self.name_font = _font(max(13, unit // 8))
        self.small_font = _font(max(11, unit // 11))
        self.title_font = _font(max(20, unit // 4))
        widest = max(self.name_font.getlength(row.label) for row in rows)
        self.label_width = int(widest) + unit // 6
        self.mask = _rounded_mask(self.width, self.height, max(3, unit // 28))
        self.title = _title(len(rows), len(severities))
        self.columns = self._columns()
        self.block = self._block_width()
        self.sheet = Image.new("RGB", self._size(), _PAPER)
        self.pen = ImageDraw.Draw(self.sheet)

    def draw(self) -> Image.Image:
        for place, groups in enumerate(self.columns):
            left, top = self.margin + place * (self.block + self.between), self.margin
            if place == 0:
                self._draw_title(left, top)
                top += self.height + self.gap
            for group, rows in groups:
                top = self._draw_group(group, rows, left, top)
        return self.sheet

    def _block_width(self) -> int:
        """Of a column: its label and cells, or the title where that is longer."""
        cells = len(self.severities) * (self.width + self.gap) - self.gap
        lengths = [self.small_font.getlength(note) for note in self.notes]
        text = int(max(self.title_font.getlength(self.title), *lengths))
        return self.label_width + max(cells, self.width + self.margin // 2 + text)

    def _size(self) -> tuple[int, int]:
        heights = [self._height(groups) for groups in self.columns]
        heights[0] += self.height + self.gap
        width = len(self.columns) * (self.block + self.between) - self.between
        return 2 * self.margin + width, 2 * self.margin + max(heights)

    def _columns(self) -> list[list[tuple[str, list[_Row]]]]:
        """Groups with their rows, in one column or in two of about the same height."""
        groups = [
            (group, [row for row in self.rows if row.name in names])
            for group, names in GROUPS.items()
        ]
        groups = [(group, rows) for group, rows in groups if rows]
        if len(self.rows) < _TALLEST or len(groups) < 2:
            return [groups]

        def unevenness(cut: int) -> int:
            left, right = self._height(groups[:cut]), self._height(groups[cut:])
            return abs(left + self.height + self.gap - right)

        cut = min(range(1, len(groups)), key=unevenness)
        return [groups[:cut], groups[cut:]]

    def _height(self, groups: Sequence[tuple[str, list[_Row]]]) -> int:
        rows = sum(len(rows) for _, rows in groups)
        return len(groups) * self.heading + rows * (self.height + self.gap) - self.gap

    def _draw_title(self, left: int, top: int) -> None:
        """The clean image in the first column of cells, the title to its right."""
        self._paste(self.image, left + self.label_width, top)
        self._text(left, top + self.height // 2, "clean", self.name_font, _INK)
        x = left + self.label_width + self.width + self.margin // 2
        middle, line = top + self.height // 2, int(self.small_font.size * 1.5)
        self._text(x, middle - line * 2 // 3, self.title, self.title_font, _INK)
        for place, note in enumerate(self.notes):
            self._text(x, middle + line + place * line, note, self.small_font, _MUTED)

    def _draw_group(self, group: str, rows: list[_Row], left: int, top: int) -> int:
        """Heading and rows; returns where the next group starts."""
        middle = top + self.heading * 5 // 8
        self._spaced(left, middle, group.upper())
        for place, severity in enumerate(self.severities):
            x = left + self.label_width + place * (self.width + self.gap) + self.width // 2
            self._text(x, middle, severity, self.small_font, _MUTED, anchor="mm")
        top += self.heading
        for row in rows:
            self._text(left, top + self.height // 2, row.label, self.name_font, _INK)
            for place, cell in enumerate(row.cells):
                self._paste(cell, left + self.label_width + place * (self.width + self.gap), top)
            top += self.height + self.gap
        return top

    def _paste(self, image: Tensor, left: int, top: int) -> None:
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        if self.zoom > 1:
            picture = picture.resize((self.width, self.height), Image.Resampling.NEAREST)
        self.sheet.paste(picture, (left, top), self.mask)

    def _text(
        self, x: float, y: float, text: str, font: Font, colour: str, *, anchor: str = "lm"
    ) -> None:
        self.pen.text((x, y), text, fill=colour, font=font, anchor=anchor)

    def _spaced(self, x: float, y: float, text: str) -> None:
        """Small capitals with air between them."""
        for letter in text:
            self._text(x, y, letter, self.small_font, _MUTED)
            x += self.small_font.getlength(letter) + self.small_font.size * 0.18


def _title(corruptions: int, severities: int) -> str:
    kinds = "1 corruption" if corruptions == 1 else f"{corruptions} corruptions"
    return f"{kinds} at {'1 severity' if severities == 1 else f'{severities} severities'}"


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):  # a Pillow built without FreeType
        raise ConfigError("this Pillow cannot scale text; install one that is built with FreeType")
    return font


def _rounded_mask(width: int, height: int, radius: int) -> Image.Image:
    """A rectangle with smooth round corners, to paste through."""
    fine = 4
    mask = Image.new("L", (width * fine, height * fine), 0)
    corners = (0, 0, width * fine - 1, height * fine - 1)
    ImageDraw.Draw(mask).rounded_rectangle(corners, radius * fine, fill=255)
    return mask.resize((width, height), Image.Resampling.LANCZOS)
