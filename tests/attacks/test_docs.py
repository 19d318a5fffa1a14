"""docs/use/attacks.md says what the code does."""

import re
from dataclasses import fields
from pathlib import Path

import torch

from rwsstore.attacks import Apgd, Pgd
from rwsstore.attacks.registry import ATTACKS

PAGE = (Path(__file__).parents[2] / "docs" / "use" / "attacks.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(program, names)
    found = names["adversarial"]
    assert isinstance(found, torch.Tensor)
    assert found.shape == (2, 3, 32, 32)


def test_every_attack_is_there() -> None:
    assert all(f"| `{name}` |" in PAGE for name in ATTACKS)


def test_the_defaults_are_those() -> None:
    defaults = {field.name: field.default for kind in (Pgd, Apgd) for field in fields(kind)}
    assert f"ρ = {defaults['rho']}" in PAGE
    assert defaults["step_size"] is None
    assert "η = 2.5·ε/steps by default" in PAGE
