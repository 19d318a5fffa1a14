from rwsstore.attacks import Apgd, Fgsm, Pgd
from rwsstore.measure.adversarial import parse_attacks
from rwsstore.measure.adversarial.report import STANDARD_ATTACKS


def test_attacks_are_read_by_name() -> None:
    assert parse_attacks("fgsm, pgd20x5", 0.1, "l2") == {
        "fgsm": Fgsm(0.1, "l2"),
        "pgd20x5": Pgd(0.1, "l2", steps=20, restarts=5),
    }


def test_standard_is_fgsm_pgd_with_and_without_restarts_and_apgd() -> None:
    found = parse_attacks("standard", 0.1)
    assert tuple(found) == STANDARD_ATTACKS
    assert list(found.values()) == [
        Fgsm(0.1), Pgd(0.1, steps=10), Pgd(0.1, steps=20, restarts=5), Apgd(0.1, steps=100)
    ]  # fmt: skip
