"""`rws apply` and `rws compose`: several patches at once, on a model or as one patch."""

from pathlib import Path
from typing import Any

import click

from rwsstore import models, patches, runtime
from rwsstore.cli import options as opt
from rwsstore.cli.output import write_result
from rwsstore.errors import ConfigError


@click.command("apply")
@opt.model_options
@opt.store_option
@click.option(
    "--patch",
    "named",
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
@click.option("--out", type=opt.PATH, required=True, help="FILE.safetensors to write.")
@opt.transfer_option
@opt.json_option
def command(named: tuple[str, ...], ta_loss: float | None, out: Path, **options: Any) -> None:
    """Put patches on a clean model and write the weights.

    They are the runtime's, bit for bit: always computed from the clean weights, whatever the order
    of the patches. The clean model's file stays as it is.

    \b
    Example:
      rws apply --model clean.safetensors --patch fog=0.6 --patch snow --out wintry.safetensors
    """
    if any("," in patch for patch in named):
        raise ConfigError("one patch for each --patch: repeat the option")
    wanted = patches.parse_request(",".join(named))
    clean = opt.load_model(options)
    store = opt.fitting_store(options["store_path"], clean)
    if ta_loss is not None:
        if any(alpha is not None for alpha in wanted.values()):
            raise ConfigError("--ta-loss chooses the strengths: give --patch without ALPHA")
        described = {name: store.describe(store.resolve(name)) for name in wanted}
        wanted = {name: one.metadata.alpha_for(ta_loss) for name, one in described.items()}
    live = runtime.LiveModel(clean, store, allow_transfer=options["allow_transfer"])
    variant = live.variant(wanted)
    assert isinstance(variant.module, models.Classifier)  # noqa: S101  (as the clean one)
    models.save_checkpoint(out, variant.module)
    document = {
        "out": str(out),
        "state_digest": variant.digest,
        "weights_fingerprint": models.weights_fingerprint(variant.state()),
        "patches": [
            {"name": variant.names[digest], "digest": digest, "alpha": alpha}
            for digest, alpha in variant.patches
        ],
        "transferred": list(variant.transferred),
    }
    write_result(
        options["as_json"],
        document,
        *(f"{variant.names[digest]} at alpha {alpha:g}" for digest, alpha in variant.patches),
        f"wrote {out}",
        f"state digest {variant.digest}",
    )


@click.command("compose")
@click.argument("name")
@click.argument("patchset", metavar="PATCH=ALPHA,PATCH=ALPHA,...")
@opt.store_option
@opt.json_option
def compose(name: str, patchset: str, store_path: Path | None, as_json: bool) -> None:
    """Publish a patch NAME that stands for several others.

    It names its parts by digest and holds no tensors, so it goes on meaning the same patches when
    their names move on. Put on at strength A, its parts are put on at A times theirs.

    \b
    Example:
      rws compose foggy_night fog=0.6,gaussian_noise=0.4
    """
    store = opt.open_store(store_path)
    chosen = []
    for reference, alpha in patches.parse_request(patchset).items():
        patch = store.get(reference)
        chosen.append((patch, patch.metadata.alpha.recommended if alpha is None else alpha))
    composed = patches.compose(name, chosen)
    published = store.publish(composed, name=name)
    write_result(
        as_json,
        {
            "name": published.name,
            "version": published.version,
            "digest": published.digest,
            "parts": [{"digest": digest, "alpha": alpha} for digest, alpha in composed.parts],
        },
        *(f"{digest[:12]} at alpha {alpha:g}" for digest, alpha in composed.parts),
        f"published {published.name}@{published.version} {published.digest[:12]}",
    )
