"""The embedded dataset: scikit-learn's digits, 1,797 real handwritten digits of 8×8 pixels.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, 1998, doi:10.24432/C50P49 (CC BY 4.0); its test part, as scikit-learn ships it in
`sklearn.datasets.load_digits`. `digits.safetensors` beside this file holds the same numbers.
"""

from importlib import resources

import torch
import torch.nn.functional as F
from torch import Tensor

from rwsstore.data.images import fit_all
from rwsstore.data.imageset import ImageSet, LoadRequest
from rwsstore.files import load_tensors

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_TEST_IMAGES = 500
_SPLIT_SEED = 0
_SIDE = 32


def raw_digits() -> tuple[Tensor, Tensor]:
    """Read the digits as they were published.

    Returns:
        (images uint8 [1797, 8, 8] with values 0..16, labels int64 [1797]).
    """
    data = resources.files("rwsstore.data").joinpath("digits.safetensors").read_bytes()
    tensors, _ = load_tensors(data, what="digits")
    return tensors["images"], tensors["labels"].long()


def load_digits(request: LoadRequest) -> ImageSet:
    """Load one split of the digits: 1,297 to train on, 500 (50 a class) to test on.

    The split is fixed. The images are 32×32 RGB, all channels equal, white on black; another
    size is made from those.
    """
    raw, labels = raw_digits()
    everything = ImageSet(_show(raw), labels, CLASSES, "digits")
    train, test = everything.split_off(_TEST_IMAGES, seed=_SPLIT_SEED)
    chosen = train if request.split == "train" else test
    return fit_all(chosen, request.size, request.progress)


def _show(raw: Tensor) -> Tensor:
    """Enlarge fourfold, bilinearly, and spread 0..16 over 0..255.

    The weights are multiples of 1/64 and the values small integers, so float32 is exact and
    every machine gets the same bytes.
    """
    large = F.interpolate(
        raw[:, None].float(), size=(_SIDE, _SIDE), mode="bilinear", align_corners=False
    )
    grey = (large * (255 / 16)).round().to(torch.uint8)
    return grey.expand(-1, 3, -1, -1).contiguous()
