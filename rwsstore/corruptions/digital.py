"""Digital: five things that processing and storage do to an image."""

import io
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rwsstore.corruptions.filters import floats, gaussian_filter, truncated
from rwsstore.corruptions.keys import Setting
from rwsstore.corruptions.resampling import sample
from rwsstore.corruptions.rows import FLAT, corruption, whole_at

# Sums of levels below this are exact in float32, in whatever order they are taken.
_EXACT_PIXELS = (1 << 24) // 255


@corruption("digital", "too little contrast", is_random=False, spares=FLAT)
def contrast(images: Tensor, setting: Setting) -> Tensor:
    """Move every pixel towards its channel's mean over the image: (x - mean) · factor + mean.

    Numbers: factor.
    """
    (factor,) = setting.numbers
    levels = floats(images)
    pixels = images.shape[2] * images.shape[3]
    dtype = torch.float32 if pixels <= _EXACT_PIXELS else torch.float64
    total = levels.sum((2, 3), keepdim=True, dtype=dtype).double()
    shift = (total / pixels * (1.0 - factor)).to(torch.float32)
    return truncated(levels.mul_(factor).add_(shift))


# Beyond this many pixels a source position only says "far outside".
_FAR = 1e6


@corruption("digital", "a rubber-sheet warp", spares=FLAT)
def elastic_transform(images: Tensor, setting: Setting) -> Tensor:
    """Jitter three control points for an affine warp, then displace pixels by smoothed noise.

    Both warps are bilinear. The first mirrors the border, the second reflects it.

    Numbers: displacement in pixels, sigma in pixels of its smoothing, largest jitter in pixels of a
    control point.
    """
    amplitude, sigma, jitter = setting.numbers
    height, width = images.shape[-2:]
    moves = (setting.keys.uniform(3, 2, stream=0).double() * 2.0 - 1.0) * jitter
    warped = sample(floats(images), *affine_sources(moves, height, width), "mirror")
    if amplitude == 0:
        return truncated(warped)
    fields = setting.keys.uniform(2, height, width, stream=1).mul_(2.0).sub_(1.0)
    fields = gaussian_filter(fields, sigma, truncate=3.0, border="reflect").mul_(amplitude)
    rows = torch.arange(height, dtype=torch.float32)[:, None] + fields[:, 1]
    columns = torch.arange(width, dtype=torch.float32) + fields[:, 0]
    return truncated(sample(warped, rows, columns, "reflect"))


def affine_sources(moves: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where an affine warp, given by what it does to three points, reads each output pixel.

    The points are the image's centre plus (s, s), (s, -s) and (-s, -s) in (column, row), where s
    is a third of the shorter side.

    Args:
        moves: float64 [B, 3, 2], how far (column, row) each point moves.
        height: of the image.
        width: of the image.

    Returns:
        Rows and columns, float32 [B, H, W] each.
    """
    third = min(height, width) // 3
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    before = signs * third + torch.tensor([width // 2, height // 2], dtype=torch.float64)
    after = before + moves
    # An output point is origin + a·first + b·second; its source has the same a and b.
    origin = after[:, 0]
    first, second = after[:, 1] - origin, after[:, 2] - origin
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    edges = before[1:] - before[0]
    sources = []
    for axis in (1, 0):
        per_column = (second[:, 1] * edges[0, axis] - first[:, 1] * edges[1, axis]) / area
        per_row = (first[:, 0] * edges[1, axis] - second[:, 0] * edges[0, axis]) / area
        start = before[0, axis] - per_column * origin[:, 0] - per_row * origin[:, 1]
        along = start[:, None] + per_column[:, None] * torch.arange(width, dtype=torch.float64)
        down = per_row[:, None] * torch.arange(height, dtype=torch.float64)
        sources.append(_inside(down)[:, :, None] + _inside(along)[:, None])
    return sources[0], sources[1]


def _inside(places: Tensor) -> Tensor:
    """Positions that integers can hold, as float32; three points on a line have no warp: 0."""
    return places.nan_to_num(0.0).clamp_(-_FAR, _FAR).to(torch.float32)


_PRECISION = 22
_EVEN_BYTES = 0x00FF00FF
# Machine words of so many bytes, and the factor that puts a byte into each of them.
_WORDS = {2: ("u2", 0x0101), 4: ("u4", 0x01010101)}


@corruption("digital", "too few pixels", is_random=False, spares=FLAT)
def pixelate(images: Tensor, setting: Setting) -> Tensor:
    """Shrink with a box filter and enlarge again, to the bit as Pillow does it.

    Numbers: factor by which the sides shrink.
    """
    (factor,) = setting.numbers
    height, width = images.shape[-2:]
    planes = images.view(-1, height, width)
    small = _shrunk(planes, -1, max(1, int(width * factor)))
    small = _shrunk(small, -2, max(1, int(height * factor)))
    return _enlarged(small, height, width).view(images.shape)


def _shrunk(planes: Tensor, dim: int, size: int) -> Tensor:
    """Shrink one axis of uint8 [N, H, W] and round to whole levels."""
    old = planes.shape[dim]
    if old == size:
        return planes
    if old % size == 0:
        return _averaged(planes, dim, old // size)
    source, counts = _windows(old, size)
    weights = _fixed_point(counts)
    total = planes.index_select(dim, source[0]).to(torch.int32)
    for place, used in zip(source[1:], (counts > n for n in range(1, len(source))), strict=True):
        along = used.to(torch.int32)
        total.add_(planes.index_select(dim, place) * (along[:, None] if dim == -2 else along))
    total.mul_(weights[:, None] if dim == -2 else weights).add_(1 << (_PRECISION - 1))
    return total.bitwise_right_shift_(_PRECISION).to(torch.uint8)


def _averaged(planes: Tensor, dim: int, count: int) -> Tensor:
    """Average neighbours, so many at a time."""
    total = _row_sums(planes, count) if dim == -1 else _column_sums(planes, count)
    if count in _WORDS:  # the weight is a power of two, so this is the same
        return total.add_(count // 2).bitwise_right_shift_(count.bit_length() - 1).to(torch.uint8)
    weight = int((1 << _PRECISION) / count + 0.5)
    total = total.to(torch.int32).mul_(weight).add_(1 << (_PRECISION - 1))
    return total.bitwise_right_shift_(_PRECISION).to(torch.uint8)


def _row_sums(planes: Tensor, count: int) -> Tensor:
    """Sums of so many neighbours in each row; two and four are added within a machine word."""
    if count == 4:
        words = planes.contiguous().view(torch.int32)
        pairs = (words & _EVEN_BYTES) + ((words >> 8) & _EVEN_BYTES)
        return (pairs & 0xFFFF).add_(pairs >> 16)
    if count == 2:
        halves = planes.contiguous().view(torch.int16)
        return (halves & 0xFF).add_((halves >> 8) & 0xFF)
    wide = planes.to(torch.int32)
    return sum((wide[..., start::count] for start in range(1, count)), wide[..., ::count])


def _column_sums(planes: Tensor, count: int) -> Tensor:
    wide = planes.to(torch.int16 if count in _WORDS else torch.int32)
    return sum((wide[:, start::count] for start in range(1, count)), wide[:, ::count])


def _enlarged(planes: Tensor, height: int, width: int) -> Tensor:
    """Enlarge uint8 [N, h, w]: Pillow's box filter then takes the one nearest pixel."""
    times, rest = divmod(width, planes.shape[-1])
    if times in _WORDS and not rest:
        kind, ones = _WORDS[times]
        words = planes.contiguous().numpy().astype(kind) * np.array(ones, dtype=kind)
        planes = torch.from_numpy(words.view(np.uint8))
    else:
        columns, _ = _windows(planes.shape[-1], width)
        planes = planes.index_select(-1, columns[0])
    rows, _ = _windows(planes.shape[-2], height)
    return planes.index_select(-2, rows[0])


def _fixed_point(counts: Tensor) -> Tensor:
    """Equal weights of so many taps in Pillow's fixed point: int32."""
    return ((1 << _PRECISION) / counts.double() + 0.5).to(torch.int32)


@lru_cache(maxsize=256)
def _windows(size: int, wanted: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """For each tap the source positions, and how many taps each output position has.

    Pillow's box filter averages, with equal weights, the source pixels whose centres lie within
    half an output pixel, and at least half a source pixel, of the output's centre.
    """
    scale = size / wanted
    support = 0.5 * max(scale, 1.0)
    windows = []
    for place in range(wanted):
        centre = (place + 0.5) * scale
        first = max(0, int(centre - support + 0.5))
        last = min(size, int(centre + support + 0.5))
        # Pillow counts a source pixel in if its distance lies in (-support, support].
        windows.append(
            [i for i in range(first, last) if -support < i + 0.5 - centre <= support] or [first]
        )
    most = max(map(len, windows))
    taps = [[window[min(tap, len(window) - 1)] for window in windows] for tap in range(most)]
    counts = torch.tensor([len(window) for window in windows])
    return tuple(torch.tensor(tap) for tap in taps), counts


@corruption("digital", "JPEG artefacts", is_random=False, between=whole_at(0), spares=FLAT)
def jpeg_compression(images: Tensor, setting: Setting) -> Tensor:
    """Encode and decode each image with Pillow.

    Numbers: quality, 1 to 95.
    """
    quality = int(setting.numbers[0])
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    decoded = np.empty_like(pixels)
    for row, image in zip(decoded, pixels, strict=True):
        encoded = io.BytesIO()
        picture = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image)
        picture.save(encoded, "JPEG", quality=quality)
        with Image.open(encoded) as again:
            row[...] = np.asarray(again).reshape(image.shape)
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).contiguous()


@corruption(
    "digital",
    "colours too pale or too vivid",
    needs_colour=True,
    is_random=False,
    spares="grey images",
)
def saturate(images: Tensor, setting: Setting) -> Tensor:
    """Change the saturation S of the HSV colour to S · factor + offset, cut to [0, 1].

    With hue and value fixed, a channel's distance from the largest one scales with S, so no
    conversion to HSV is needed. A grey pixel has S = 0 and by convention the hue of red: an
    offset tints it red.

    Numbers: factor, offset.
    """
    factor, offset = setting.numbers
    value = floats(images.amax(1, keepdim=True))
    spread = value - floats(images.amin(1, keepdim=True))
    is_grey = (spread == 0).to(torch.float32)
    # What is divided by is at least 1 level, or divides 0.
    wanted = (spread / value.clamp(min=1.0)).mul_(factor).add_(offset).clamp_(0.0, 1.0)
    wanted.mul_(value)
    scale = wanted / spread.add_(is_grey)
    tint = is_grey.mul_(wanted)
    result = torch.sub(value, floats(images)).neg_().mul_(scale).add_(value)
    result[:, 1:].sub_(tint)
    return truncated(result)
