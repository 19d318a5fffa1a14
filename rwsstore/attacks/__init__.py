"""Attacks on inputs: small changes of images that a model gets wrong."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.attacks.apgd import Apgd as Apgd
    from rwsstore.attacks.ball import Ball as Ball, Norm as Norm
    from rwsstore.attacks.base import Attack as Attack
    from rwsstore.attacks.pgd import (
        FeaturePgd as FeaturePgd,
        Fgsm as Fgsm,
        Pgd as Pgd,
        ascend_divergence as ascend_divergence,
        ascend_features as ascend_features,
        ascend_loss as ascend_loss,
        default_step_size as default_step_size,
        divergence as divergence,
        layer_outputs as layer_outputs,
    )
    from rwsstore.attacks.registry import parse_attack as parse_attack
else:
    faces.lazy(__name__)
