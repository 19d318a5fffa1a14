import pytest

from rwsstore.attacks import Apgd, Attack, Fgsm, Pgd, parse_attack
from rwsstore.attacks.registry import ATTACKS


@pytest.mark.parametrize(
    ("text", "attack"),
    [
        ("fgsm", Fgsm(0.03)),
        ("pgd", Pgd(0.03)),
        ("pgd10", Pgd(0.03, steps=10)),
        ("pgd20x5", Pgd(0.03, steps=20, restarts=5)),
        ("pgdx3", Pgd(0.03, restarts=3)),
        ("apgd", Apgd(0.03, steps=100)),
        ("apgd50", Apgd(0.03, steps=50)),
        ("apgd100x2", Apgd(0.03, steps=100, restarts=2)),
    ],
)
def test_attacks_as_they_are_written(text: str, attack: Attack) -> None:
    assert parse_attack(text, 0.03) == attack


def test_the_norm_is_kept() -> None:
    assert parse_attack("pgd5", 0.5, "l2") == Pgd(0.5, "l2", steps=5)


def test_every_attack_is_there_by_its_name() -> None:
    assert sorted(ATTACKS) == ["apgd", "feature_pgd", "fgsm", "pgd"]
    assert all(attack.name == name for name, attack in ATTACKS.items())
