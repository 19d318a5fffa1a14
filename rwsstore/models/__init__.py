"""Networks by name, their layers in order, fingerprints and checkpoints."""

__all__ = [
    "FEWEST_IMAGES",
    "LEAST_AGREEMENT",
    "NETWORKS",
    "Classifier",
    "FormatAgreement",
    "Layer",
    "ModelCard",
    "ModelSpec",
    "Network",
    "Normalize",
    "architecture_fingerprint",
    "build",
    "check_evaluating",
    "check_finite",
    "fold_batchnorm",
    "freeze_batchnorm",
    "load_checkpoint",
    "load_clean_model",
    "main_path_convolutions",
    "model_card_path",
    "named_layers",
    "ordered_layers",
    "parse_layers",
    "read_model_card",
    "save_checkpoint",
    "scratch_copy",
    "shallowest",
    "short_names",
    "torchvision_names",
    "touched_layers",
    "unchanged",
    "unfoldable_batchnorms",
    "weights_fingerprint",
    "write_model_card",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.models.checkpoints import (
        check_finite,
        load_checkpoint,
        load_clean_model,
        save_checkpoint,
    )
    from rwsstore.models.classifier import Classifier, Normalize
    from rwsstore.models.evaluating import check_evaluating, scratch_copy, unchanged
    from rwsstore.models.fingerprints import architecture_fingerprint, weights_fingerprint
    from rwsstore.models.folding import fold_batchnorm, freeze_batchnorm, unfoldable_batchnorms
    from rwsstore.models.layers import (
        Layer,
        main_path_convolutions,
        named_layers,
        ordered_layers,
        parse_layers,
        shallowest,
        short_names,
        touched_layers,
    )
    from rwsstore.models.registry import NETWORKS, Network, build
    from rwsstore.models.spec import (
        FEWEST_IMAGES,
        LEAST_AGREEMENT,
        FormatAgreement,
        ModelCard,
        ModelSpec,
        model_card_path,
        read_model_card,
        write_model_card,
    )
    from rwsstore.models.vision_shim import torchvision_names
else:
    faces.lazy(__name__)
