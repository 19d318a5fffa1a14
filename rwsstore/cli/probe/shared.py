"""What the probes share: where interrupted ones keep what they measured, and models as they are."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from rwsstore import models
from rwsstore.bundled import BUNDLED
from rwsstore.cli.options import load_model, spec_of
from rwsstore.errors import ConfigError

if TYPE_CHECKING:
    from rwsstore.data import ImageSet
    from rwsstore.files import Results
    from rwsstore.models import Classifier


def kept_results(probe: str, images: "ImageSet", **identity: Any) -> "Results":
    """Open the results of this very run; call `forget` on them when it is finished.

    Args:
        probe: name of the command.
        images: that are measured on.
        identity: what else the numbers depend on, as JSON values; a model by its weights.
    """
    import platformdirs

    from rwsstore.canonical import canonical_json, sha256_hex
    from rwsstore.files import Results
    from rwsstore.training.loop import images_digest

    identity["images"] = images_digest(images)
    digest = sha256_hex(canonical_json(identity).encode())[:16]
    folder = platformdirs.user_cache_path("rwsstore", appauthor=False) / "probes"
    return Results(folder / f"{probe}-{digest}.json", identity)


unfolded_option = click.option(
    "--unfolded",
    is_flag=True,
    help="Leave BatchNorm as the checkpoint has it (OUT.unfolded.safetensors); otherwise it is "
    "folded into the layer before it.",
)


def load_probed_model(options: Mapping[str, Any]) -> "Classifier":
    """Load what `model_options` and `unfolded_option` name, in evaluation mode.

    Raises:
        ConfigError: the bundled model is asked for unfolded.
        RwsError: as `load_model` and `load_checkpoint`.
    """
    if not options["unfolded"]:
        return load_model(options)
    if str(options["model_path"]) == BUNDLED:
        raise ConfigError("the bundled model is folded: --unfolded needs a checkpoint (--model)")
    return models.load_checkpoint(options["model_path"], spec=spec_of(options))
