"""A live model in one process: variants, patch sets, state digests, verification."""

__all__ = [
    "CleanModel",
    "LiveModel",
    "PatchBag",
    "PatchSource",
    "Split",
    "Variant",
    "Verification",
    "build_variant",
    "split_after",
    "state_digest",
]

from rwsstore.runtime.digest import state_digest
from rwsstore.runtime.live import LiveModel
from rwsstore.runtime.source import PatchBag, PatchSource
from rwsstore.runtime.splitting import Split, split_after
from rwsstore.runtime.variant import CleanModel, Variant, build_variant
from rwsstore.runtime.verification import Verification
