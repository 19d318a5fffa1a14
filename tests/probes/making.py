"""A tiny network, patches for it, and signatures of made-up cosines."""

from collections.abc import Sequence
from functools import cache

import torch

from rwsstore.models import Classifier
from rwsstore.patches import Patch
from rwsstore.probes import GainOptions, Gains, Signature, gather_signatures
from rwsstore.probes.similarity import Similarity
from tests.runtime.making import bare_patch
from tests.training.tiny import classifier


@cache
def model() -> Classifier:
    return classifier(folded=True)


def patch(corruption: str, *, seed: int = 0, layers: int = 3, bits: int = 8) -> Patch:
    return bare_patch(
        model(), corruption, seed=seed, layers=layers, bits=bits, corruption=corruption, severity=5
    )


def patches(*corruptions: str, layers: int = 3) -> dict[str, Patch]:
    return {name: patch(name, seed=seed, layers=layers) for seed, name in enumerate(corruptions)}


def signatures(*corruptions: str, layers: int = 3) -> tuple[Signature, ...]:
    return gather_signatures(model(), patches(*corruptions, layers=layers))


def made_up(corruptions: Sequence[str], layers: int = 2) -> Similarity:
    """A comparison of numbers that nobody computed: cosines of random vectors."""
    generator = torch.Generator().manual_seed(3)
    count = len(corruptions)
    vectors = torch.randn(layers, count, 6, generator=generator, dtype=torch.float64)
    vectors /= vectors.norm(dim=2, keepdim=True)
    cosines = vectors @ vectors.transpose(1, 2)
    return Similarity(
        signatures=tuple(
            Signature(name, f"{n:064x}", name, ()) for n, name in enumerate(corruptions)
        ),
        layers=tuple(f"network.features.conv{n + 1}" for n in range(layers)),
        norms=1 + torch.rand(count, layers, generator=generator, dtype=torch.float64),
        clean_norms=torch.full((layers,), 10.0, dtype=torch.float64),
        cosine=cosines.mean(0),
        layer_cosine=cosines,
    )


def made_up_gains(similarity: Similarity, corruptions: Sequence[str]) -> Gains:
    generator = torch.Generator().manual_seed(4)
    shape = len(similarity.signatures), len(corruptions)
    return Gains(
        signatures=similarity.signatures,
        options=GainOptions(corruptions=tuple(corruptions)),
        dataset="tiny",
        images=1000,
        clean_ta=90.0,
        clean_ra=50 + 10 * torch.rand(shape[1], generator=generator, dtype=torch.float64),
        ta=70 + 10 * torch.rand(shape[0], generator=generator, dtype=torch.float64),
        ra=100 * torch.rand(shape, generator=generator, dtype=torch.float64),
    )
