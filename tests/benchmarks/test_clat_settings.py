"""What settings of CLAT are refused, and what depends on which."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import benchmarks.paper.study as study_module
from benchmarks.paper.settings import CLAT_TABLES, ClatPatchSettings, ClatSettings, read_settings
from tests.benchmarks.making import settings

PAPER = Path(study_module.__file__).with_name("paper.toml")


def test_the_papers_settings_are_those_that_the_issue_asks_for() -> None:
    found = read_settings(PAPER)
    assert found.clat.seeds >= 3
    assert found.clat.evaluation.test_images >= 2500
    assert (found.clat.evaluation.pgd_steps, found.clat.evaluation.apgd_steps) == (20, 100)
    assert found.clat_patch.epsilon == pytest.approx(4 / 255)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epsilon": 0.02}, r"adversarial\.epsilon must be epsilon"),
        ({"recipe": {"epsilon": 0.02}}, r"recipe\.epsilon must be epsilon"),
        ({"clean": {"recipe": {"epsilon": 0.02}}}, r"clean\.recipe\.epsilon must be epsilon"),
        ({"half": 10}, r"must make training\.epochs"),
        ({"seeds": 2, "ablation_seeds": 3}, "ablation_seeds must not be more"),
        ({"seeds": 1}, r"seeds\n.* greater than or equal to 2"),
        ({"counts": (2, 1)}, r"counts\n.* must rise"),
        ({"counts": ()}, "counts"),
        ({"others": ("trades", "trades")}, "others must name none twice"),
        ({"others": ("free",)}, "others"),
        ({"recipe": {"every": None}}, "recipe must select again"),
        ({"recipe": {"select": "random"}}, r"recipe\.select must be critical"),
        ({"sead": 1}, "sead"),
    ],
)
def test_settings_that_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ClatSettings.model_validate(fields)


@pytest.mark.parametrize("alphas", [(), (0.5, 0.5), (1.0, 0.5), (0.0, 1.0)])
def test_strengths_that_are_refused(alphas: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="alphas"):
        ClatPatchSettings(alphas=alphas)


def test_no_table_depends_on_settings_that_its_models_do_not() -> None:
    one, other = settings(), settings(clat={"counts": (1, 3), "others": ()})
    for name in (*CLAT_TABLES, "tables", "clat_patch"):
        assert one.of_study(name) == other.of_study(name)
    patch = settings(clat_patch={"images": 100})
    assert patch.of_study("clat_patch") != one.of_study("clat_patch")
    assert patch.of_study("clat_layers") == one.of_study("clat_layers")


def test_how_many_images_a_study_takes() -> None:
    found = settings(test_images=40, clat={"train_images": 30, "evaluation": {"test_images": 20}})
    assert {found.most_images(name) for name in CLAT_TABLES} == {(30, 20)}
    assert found.most_images("clat_patch") == found.most_images("tables") == (None, None)
    assert found.most_images("alpha") == (None, 40)
