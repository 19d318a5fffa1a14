"""Networks by name, their layers in order, fingerprints and checkpoints."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.models.checkpoints import (
        load_checkpoint as load_checkpoint,
        load_clean_model as load_clean_model,
        save_checkpoint as save_checkpoint,
    )
    from rwsstore.models.classifier import Classifier as Classifier, Normalize as Normalize
    from rwsstore.models.evaluating import (
        check_evaluating as check_evaluating,
        scratch_copy as scratch_copy,
        unchanged as unchanged,
    )
    from rwsstore.models.fingerprints import (
        architecture_fingerprint as architecture_fingerprint,
        weights_fingerprint as weights_fingerprint,
    )
    from rwsstore.models.folding import (
        fold_batchnorm as fold_batchnorm,
        freeze_batchnorm as freeze_batchnorm,
    )
    from rwsstore.models.layers import (
        main_path_convolutions as main_path_convolutions,
        named_layers as named_layers,
        ordered_layers as ordered_layers,
        parse_layers as parse_layers,
        shallowest as shallowest,
        short_names as short_names,
        touched_layers as touched_layers,
    )
    from rwsstore.models.registry import NETWORKS as NETWORKS, build as build, network as network
    from rwsstore.models.spec import (
        FEWEST_IMAGES as FEWEST_IMAGES,
        LEAST_AGREEMENT as LEAST_AGREEMENT,
        FormatAgreement as FormatAgreement,
        ModelCard as ModelCard,
        ModelSpec as ModelSpec,
        model_card_path as model_card_path,
        read_model_card as read_model_card,
        write_model_card as write_model_card,
    )
else:
    faces.lazy(__name__)
