"""Patch sets as they are written: one string in queries and forms, a list in JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rwsstore_client.contract import PatchSet


@dataclass(frozen=True)
class TaLoss:
    """A strength given as what it may cost: points of accuracy on clean images.

    The service takes α from the patch's card. For patch sets that are made active and for
    compositions; predictions take numbers only.
    """

    points: float


PatchSetLike = Mapping[str, float | None] | PatchSet | str
"""A patch set for a prediction: patches with their α (None: the recommended one), a patch set that
the service answered with, or a string: "active", "none", "fog=0.6,gaussian_blur"."""

Wanted = Mapping[str, float | TaLoss | None] | PatchSet | str


def as_text(patchset: PatchSetLike) -> str:
    """Write a patch set as one string, each α so that the service reads the same number.

    Raises:
        TypeError, ValueError: a strength is no finite number, or a name cannot be written.
    """
    if isinstance(patchset, str):
        return patchset
    return ",".join(_item(name, alpha) for name, alpha in _mapping(patchset).items()) or "none"


def as_choices(patchset: Wanted) -> list[dict[str, Any]]:
    """Write a patch set as the list that JSON bodies hold.

    Raises:
        TypeError, ValueError: a strength is no finite number, or the string is no patch set.
    """
    wanted = parse_patchset(patchset) if isinstance(patchset, str) else _mapping(patchset)
    return [{"patch": name, **_choice(name, alpha)} for name, alpha in wanted.items()]


def parse_patchset(text: str) -> dict[str, float | None]:
    """Read `fog=0.6,gaussian_blur`; a name alone takes its recommended α, "none" is no patch.

    Raises:
        ValueError: that is not a patch set.
    """
    wanted: dict[str, float | None] = {}
    for item in () if text.strip() in ("", "none") else text.split(","):
        name, equals, alpha = (part.strip() for part in item.partition("="))
        if not name or name in wanted or text.strip() == "active":
            raise ValueError(
                f"{text!r} is not a patch set; expected each patch once, as in fog=0.6,frost=0.4"
            )
        try:
            wanted[name] = _number(name, float(alpha)) if equals else None
        except ValueError:
            raise ValueError(
                f"the strength of {name!r} is {alpha!r}; expected a finite number"
            ) from None
    return wanted


def strength(alpha: float | None = None, ta_loss: float | None = None) -> dict[str, float]:
    """Write a strength as the members of a JSON body: none of them for the recommended one.

    Raises:
        TypeError, ValueError: it is no finite number.
    """
    given = {"alpha": alpha, "ta_loss": ta_loss}
    return {name: _number(name, value) for name, value in given.items() if value is not None}


def _mapping(patchset: Mapping[str, float | TaLoss | None] | PatchSet) -> Mapping[str, Any]:
    if isinstance(patchset, PatchSet):
        return {applied.digest: applied.alpha for applied in patchset.patches}
    if isinstance(patchset, Mapping):
        return patchset
    raise TypeError(f"{type(patchset).__name__} is no patch set; expected {{'fog': 0.6}}")


def _item(name: str, alpha: object) -> str:
    # Each of these would be read as something else than a patch of that name.
    if name.strip() in ("", "active", "none") or "," in name or "=" in name:
        raise ValueError(f"{name!r} cannot be the name of a patch")
    if isinstance(alpha, TaLoss):
        raise TypeError(f"the strength of {name!r} is a TaLoss; a prediction takes numbers only")
    return name if alpha is None else f"{name}={_number(name, alpha)!r}"


def _choice(name: str, alpha: object) -> dict[str, float]:
    if alpha is None:
        return {}
    if isinstance(alpha, TaLoss):
        return {"ta_loss": _number(name, alpha.points)}
    return {"alpha": _number(name, alpha)}


def _number(name: str, value: object) -> float:
    # Numbers of numpy have __float__; so has no text. A bool is a mistake.
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name!r} is given {value!r}; expected a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name!r} is given {number!r}; expected a finite number")
    return number
