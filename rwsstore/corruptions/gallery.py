"""One image under every corruption at every severity, on a labelled sheet."""

from collections.abc import Mapping, Sequence
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
    groups = {
        group: {
            name: [made(name=name, severity=severity)[0] for severity in severities]
            for name in names
            if name in corruptions
        }
        for group, names in GROUPS.items()
    }
    labels = {name: name.replace("_", " ").replace("jpeg", "JPEG") for name in CORRUPTIONS}
    if frost_overlays is None:
        labels["frost"] = "synthetic frost"
    notes = (chosen.note(height, width), f"seed {seed}")
    filled = [(group, rows) for group, rows in groups.items() if rows]
    return _Sheet(image, filled, labels, tuple(map(str, severities)), notes).draw()


_Group = tuple[str, Mapping[str, Sequence[Tensor]]]
"""Its name, and the cells of each of its corruptions."""


class _Sheet:
    """Where everything goes. Lengths are in pixels of the sheet and follow from the cell's."""

    def __init__(
        self,
        image: Tensor,
        groups: Sequence[_Group],
        labels: Mapping[str, str],
        severities: Sequence[str],
        notes: Sequence[str],
    ) -> None:
        self.image, self.labels, self.severities, self.notes = image, labels, severities, notes
        height, width = image.shape[1:]
        self.zoom = max(1, round(_COMFORTABLE / min(height, width)))
        self.width, self.height = width * self.zoom, height * self.zoom
        unit = min(self.width, self.height)
        self.gap = max(4, unit // 26)
        self.margin = max(24, unit // 4)
        self.heading = max(36, unit // 4)
        self.name_font = _font(max(13, unit // 8))
        self.small_font = _font(max(11, unit // 11))
        self.title_font = _font(max(20, unit // 4))
        names = [name for _, rows in groups for name in rows]
        widest = max(self.name_font.getlength(labels[name]) for name in names)
        self.label_width = int(widest) + unit // 6
        fine = 4  # the cells' round corners are drawn so many times as large, and so get smooth
        mask = Image.new("L", (self.width * fine, self.height * fine), 0)
        corners = (0, 0, mask.width - 1, mask.height - 1)
        ImageDraw.Draw(mask).rounded_rectangle(corners, max(3, unit // 28) * fine, fill=255)
        self.mask = mask.resize((self.width, self.height), Image.Resampling.LANCZOS)
        kinds = "1 corruption" if len(names) == 1 else f"{len(names)} corruptions"
        steps = "1 severity" if len(severities) == 1 else f"{len(severities)} severities"
        self.title = f"{kinds} at {steps}"
        # A column has labels and cells, or the title where that is longer.
        cells = len(severities) * (self.width + self.gap) - self.gap
        lengths = [self.small_font.getlength(note) for note in notes]
        text = int(max(self.title_font.getlength(self.title), *lengths))
        block = self.label_width + max(cells, self.width + self.margin // 2 + text)
        self.stride = block + self.margin * 3 // 2
        self.columns = [groups]
        halves = [[groups[:cut], groups[cut:]] for cut in range(1, len(groups))]
        if len(names) >= _TALLEST and halves:
            self.columns = min(
                halves, key=lambda two: max(self._heights(two)) - min(self._heights(two))
            )
        width = (len(self.columns) - 1) * self.stride + block
        size = (2 * self.margin + width, 2 * self.margin + max(self._heights(self.columns)))
        self.sheet = Image.new("RGB", size, _PAPER)
        self.pen = ImageDraw.Draw(self.sheet)

    def _heights(self, columns: Sequence[Sequence[_Group]]) -> list[int]:
        """Of the columns; the first has the title too."""
        cell = self.height + self.gap
        heights = [
            len(groups) * self.heading + sum(len(rows) for _, rows in groups) * cell - self.gap
            for groups in columns
        ]
        return [heights[0] + cell, *heights[1:]]

    def draw(self) -> Image.Image:
        for place, groups in enumerate(self.columns):
            left, top = self.margin + place * self.stride, self.margin
            if place == 0:
                self._draw_title(left, top)
                top += self.height + self.gap
            for group, rows in groups:
                self._draw_headings(group, left, top + self.heading * 5 // 8)
                top += self.heading
                for name, cells in rows.items():
                    self._draw_row(self.labels[name], cells, left, top)
                    top += self.height + self.gap
        return self.sheet

    def _draw_title(self, left: int, top: int) -> None:
        """The clean image as the first cell of a row, the title to its right."""
        self._draw_row("clean", [self.image], left, top)
        x = left + self.label_width + self.width + self.margin // 2
        middle, line = top + self.height // 2, int(self.small_font.size * 1.5)
        self._text(x, middle - line * 2 // 3, self.title, self.title_font, _INK)
        for place, note in enumerate(self.notes):
            self._text(x, middle + line + place * line, note, self.small_font, _MUTED)

    def _draw_headings(self, group: str, left: int, middle: int) -> None:
        """The group in small capitals with air between them, the severities over their cells."""
        x: float = left
        for letter in group.upper():
            self._text(x, middle, letter, self.small_font, _MUTED)
            x += self.small_font.getlength(letter) + self.small_font.size * 0.18
        for place, severity in enumerate(self.severities):
            x = left + self.label_width + place * (self.width + self.gap) + self.width // 2
            self._text(x, middle, severity, self.small_font, _MUTED, anchor="mm")

    def _draw_row(self, label: str, cells: Sequence[Tensor], left: int, top: int) -> None:
        self._text(left, top + self.height // 2, label, self.name_font, _INK)
        for place, cell in enumerate(cells):
            picture = Image.fromarray(cell.permute(1, 2, 0).contiguous().numpy())
            picture = picture.resize((self.width, self.height), Image.Resampling.NEAREST)
            x = left + self.label_width + place * (self.width + self.gap)
            self.sheet.paste(picture, (x, top), self.mask)

    def _text(
        self, x: float, y: float, text: str, font: Font, colour: str, *, anchor: str = "lm"
    ) -> None:
        self.pen.text((x, y), text, fill=colour, font=font, anchor=anchor)


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):  # a Pillow built without FreeType
        raise ConfigError("this Pillow cannot scale text; install one that is built with FreeType")
    return font
