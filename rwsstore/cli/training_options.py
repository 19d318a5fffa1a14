"""Options of the commands that train."""

__all__ = ["pick_mode", "training_options"]

from collections.abc import Callable
from typing import Any

import click
import torch
from torch import nn

from rwsstore.cli.options import limit_option
from rwsstore.machine import ComputeMode, probe
from rwsstore.training import TrainingConfig

_Command = Callable[..., Any]


def training_options(defaults: TrainingConfig) -> Callable[[_Command], _Command]:
    """Add what both kinds of training take: schedule, augmentation, held-out images, arithmetic."""
    options = (
        click.option("--epochs", type=int, default=defaults.epochs, show_default=True),
        click.option("--batch-size", type=int, default=defaults.batch_size, show_default=True),
        click.option(
            "--learning-rate",
            type=float,
            default=defaults.learning_rate,
            show_default=True,
            help="Its peak; warm-up before, a cosine to zero after.",
        ),
        click.option(
            "--weight-decay", type=float, default=defaults.weight_decay, show_default=True
        ),
        click.option(
            "--padding",
            type=int,
            default=defaults.padding,
            show_default=True,
            help="Border of the random crop, in pixels.",
        ),
        click.option(
            "--flip/--no-flip",
            default=defaults.flip,
            show_default=True,
            help="Mirror half of the images; not for classes that a mirror changes.",
        ),
        click.option(
            "--validation",
            type=click.IntRange(min=1),
            help="Training images held out to choose the best epoch. Default: a tenth, at most "
            "5,000.",
        ),
        limit_option,
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
        _MODE,
    )

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_MODE = click.option(
    "--mode",
    type=click.Choice(["auto", "plain", "bf16"]),
    default="auto",
    show_default=True,
    help="Arithmetic: plain float32, bfloat16 with channels last, or whichever a short "
    "measurement finds faster here.",
)


def pick_mode(choice: str, model: nn.Module, size: int, batch_size: int) -> ComputeMode:
    """Turn --mode into a mode, measuring if it is left to us."""
    if choice == "plain":
        return ComputeMode()
    if choice == "bf16":
        return ComputeMode(bf16=True, channels_last=True)
    example = torch.zeros(batch_size, 3, size, size, dtype=torch.uint8)
    return probe(model, example)
