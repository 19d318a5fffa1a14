"""docs/use/deltas.md is held to the code."""

import re
import tomllib
from pathlib import Path

from rwsstore.making import KINDS, DeltaConfig, DeltaOptions
from rwsstore.patches import Patch
from tests.making.tiny import TRAIN, VALIDATION, clean_model

PAGE = (Path(__file__).parents[2] / "docs" / "use" / "deltas.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def test_every_kind_has_a_row() -> None:
    table = PAGE.split("## Kinds")[1].split("**Own choices:**")[0]
    for kind in KINDS.keys() - {"rws"}:
        assert f"`{kind}`" in table


def test_the_defaults_are_those_of_the_code() -> None:
    options = DeltaOptions()
    assert f"`--card-images` held-out images ({options.card_images})" in PAGE
    assert f"number of flipped bits ({options.card_flips})" in PAGE
    assert options.alphas == (0.25, 0.5, 0.75, 1.0, 1.25)
    assert "0, 0.25, 0.5, 0.75, 1\nand 1.25" in PAGE


def test_the_table_of_a_bundle_is_one() -> None:
    (table,) = tomllib.loads(block("toml"))["deltas"]
    config = DeltaConfig.model_validate(table)
    assert config.patch_name == "hessian_aware"
    assert config.options.training is not None
    assert config.options.training.optimizer == "sgd"


def test_the_program_runs() -> None:
    names: dict[str, object] = {"clean": clean_model(), "train": TRAIN, "validation": VALIDATION}
    exec(compile(block("python"), "deltas.md", "exec"), names)
    patch = names["patch"]
    assert isinstance(patch, Patch)
    assert patch.metadata.bits == 4
