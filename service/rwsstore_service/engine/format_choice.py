"""In which compute format the model is served: chosen once, at the start."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rwsstore.bundled import bundled_folder, model_path, packaged_formats
from rwsstore.errors import MissingFileError, RwsError
from rwsstore.models import LEAST_AGREEMENT, Classifier, FormatAgreement, weights_fingerprint
from rwsstore.runtime.comparing import fastest_format
from rwsstore.runtime.formats import FLOAT32, FORMATS, ComputeFormat, compute_format
from rwsstore_service.settings import AUTO, BUNDLED, Settings

WhyFormat = Literal["probe", "operator", "only_offered", "exact"]
"""How a compute format came to be in use."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FormatChoice:
    """The format in use, and how it came to be.

    Attributes:
        offered: what it was, or could have been, chosen from; float32 is among them.
        agreements: of each format that the model's card speaks of, by its name.
        milliseconds: that a batch took at the start, by format; empty where none was measured.
    """

    format: ComputeFormat
    why: WhyFormat
    offered: tuple[ComputeFormat, ...]
    agreements: Mapping[str, FormatAgreement]
    milliseconds: Mapping[str, float]


FLOAT32_ALONE = FormatChoice(FLOAT32, "only_offered", (FLOAT32,), {}, {})
"""The plain way, which every model may be computed in."""


def choose_format(model: Classifier, settings: Settings) -> FormatChoice:
    """Choose the compute format: the operator's, or the fastest of those that the card offers.

    Args:
        model: the clean model, its BatchNorm folded.
        settings: whose `compute` and `batching` decide.
    """
    agreements = _agreements(model, settings)
    good = {FLOAT32.name, *(name for name, found in agreements.items() if found.offered)}
    offered = tuple(one for one in FORMATS.values() if one.name in good)
    if settings.compute != AUTO:
        if settings.compute not in good:
            _warn(settings.compute, agreements.get(settings.compute))
        return FormatChoice(compute_format(settings.compute), "operator", offered, agreements, {})
    if not settings.batching:
        return FormatChoice(FLOAT32, "exact", offered, agreements, {})
    if len(offered) == 1:
        return FormatChoice(offered[0], "only_offered", offered, agreements, {})
    probe = fastest_format(model, offered, size=model.spec.input_size)
    return FormatChoice(probe.chosen, "probe", offered, agreements, dict(probe.milliseconds))


def _agreements(model: Classifier, settings: Settings) -> dict[str, FormatAgreement]:
    """What the model's card says; nothing where there is none that can be used."""
    if settings.model == BUNDLED:
        checkpoint = model_path(bundled_folder())
    else:
        checkpoint = Path(settings.model).expanduser()
    try:
        formats = packaged_formats(checkpoint, weights=weights_fingerprint(model.state_dict()))
    except MissingFileError:
        _log.info(
            "%s has no card, so only float32 is offered: rws card measures the faster formats",
            checkpoint.name,
        )
        return {}
    except RwsError as error:  # float32 is right whatever a card says
        _log.warning("the model's card is not used, and only float32 is offered: %s", error)
        return {}
    return {one.name: one for one in formats}


def _warn(name: str, found: FormatAgreement | None) -> None:
    """Say what is not known of a format that the operator asks for, or speaks against it."""
    if found is None:
        _log.warning(
            "RWS_COMPUTE=%s: how far it agrees with float32 was not measured; rws card does", name
        )
        return
    _log.warning(
        "RWS_COMPUTE=%s is not offered: on %d images it agrees with float32 on %.2f %% with %s, "
        "and %g %% is asked for",
        name, found.images, found.lowest_agreement, found.lowest_with or "the clean model",
        LEAST_AGREEMENT,
    )  # fmt: skip
