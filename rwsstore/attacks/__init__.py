"""Attacks on inputs: small changes of images that a model gets wrong."""

__all__ = [
    "ATTACKS",
    "Apgd",
    "Attack",
    "Ball",
    "FeaturePgd",
    "Fgsm",
    "Norm",
    "Pgd",
    "ascend_divergence",
    "ascend_features",
    "ascend_loss",
    "divergence",
    "parse_attack",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.attacks.apgd import Apgd
    from rwsstore.attacks.ball import Ball, Norm
    from rwsstore.attacks.base import Attack
    from rwsstore.attacks.feature_pgd import FeaturePgd, ascend_features
    from rwsstore.attacks.pgd import Fgsm, Pgd, ascend_divergence, ascend_loss, divergence
    from rwsstore.attacks.registry import ATTACKS, parse_attack
else:
    faces.lazy(__name__)
