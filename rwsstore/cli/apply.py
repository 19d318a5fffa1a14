"""`rws apply`."""

from pathlib import Path
from typing import Any

import click

from rwsstore.cli.options import (
    fitting_store,
    json_option,
    load_model,
    model_options,
    store_option,
    transfer_option,
)
from rwsstore.cli.output import write_result
from rwsstore.errors import ConfigError


@click.command("apply", short_help="Write a model's weights with patches put on.")
@model_options
@store_option
@click.option(
    "--patch",
    "patches",
    multiple=True,
    required=True,
    metavar="NAME[=ALPHA]",
    help="Patch to put on, by name, version or digest; without ALPHA at its recommended "
    "strength. May be repeated.",
)
@click.option(
    "--ta-loss",
    type=click.FloatRange(min=0),
    help="Instead of ALPHA: the largest strength that costs at most so many points of clean "
    "accuracy, by each patch's card.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="FILE.safetensors to write."
)
@transfer_option
@json_option
def command(
    patches: tuple[str, ...],
    ta_loss: float | None,
    store_path: Path | None,
    out: Path,
    allow_transfer: bool,
    as_json: bool,
    **model: Any,
) -> None:
    """Put patches on a clean model and write the weights.

    They are the runtime's, bit for bit: always computed from the clean weights, whatever the order
    of the patches. The clean model's file stays as it is.

    \b
    Example:
      rws apply --model clean.safetensors --patch fog=0.6 --patch snow --out wintry.safetensors
    """
    from rwsstore.models import Classifier, save_checkpoint, weights_fingerprint
    from rwsstore.patches import parse_request
    from rwsstore.runtime import LiveModel

    if any("," in patch for patch in patches):
        raise ConfigError("one patch for each --patch: repeat the option")
    wanted = parse_request(",".join(patches))
    clean = load_model(model)
    store = fitting_store(store_path, clean)
    if ta_loss is not None:
        if any(alpha is not None for alpha in wanted.values()):
            raise ConfigError("--ta-loss chooses the strengths: give --patch without ALPHA")
        described = {name: store.describe(store.resolve(name)) for name in wanted}
        wanted = {name: one.metadata.alpha_for(ta_loss) for name, one in described.items()}
    live = LiveModel(clean, store, allow_transfer=allow_transfer)
    variant = live.variant(wanted)
    assert isinstance(variant.module, Classifier)  # noqa: S101  (load_model gave a Classifier)
    save_checkpoint(out, variant.module)
    document = {
        "out": str(out),
        "state_digest": variant.digest,
        "weights_fingerprint": weights_fingerprint(variant.state()),
        "patches": [
            {"name": variant.names[digest], "digest": digest, "alpha": alpha}
            for digest, alpha in variant.patches
        ],
        "transferred": list(variant.transferred),
    }
    write_result(
        as_json,
        document,
        *(f"{variant.names[digest]} at alpha {alpha:g}" for digest, alpha in variant.patches),
        f"wrote {out}",
        f"state digest {variant.digest}",
    )
