"""A probed model as it is, or with its BatchNorm folded."""

__all__ = ["load_probed_model", "unfolded_option"]

from collections.abc import Mapping
from typing import Any

import click

from rwsstore.bundle.contents import BUNDLED
from rwsstore.cli.options import load_model, spec_of
from rwsstore.errors import ConfigError
from rwsstore.models import Classifier, load_checkpoint

unfolded_option = click.option(
    "--unfolded",
    is_flag=True,
    help="Leave BatchNorm as the checkpoint has it (OUT.unfolded.safetensors); otherwise it is "
    "folded into the layer before it.",
)


def load_probed_model(options: Mapping[str, Any]) -> Classifier:
    """Load what `model_options` and `unfolded_option` name, in evaluation mode.

    Raises:
        ConfigError: the bundled model is asked for unfolded.
        RwsError: as `load_model` and `load_checkpoint`.
    """
    if not options["unfolded"]:
        return load_model(options)
    if str(options["model_path"]) == BUNDLED:
        raise ConfigError("the bundled model is folded: --unfolded needs a checkpoint (--model)")
    return load_checkpoint(options["model_path"], spec=spec_of(options))
