"""The state digest: which weights made this prediction, told without touching a tensor."""

__all__ = ["state_digest"]

from rwsstore.canonical import Digest, canonical_json, sha256_hex
from rwsstore.patches import PatchSet


def state_digest(clean_weights: Digest, patches: PatchSet) -> Digest:
    """Hash the clean weights fingerprint and the (patch digest, α) pairs, by digest.

    The hashed text is canonical JSON, `{"clean":"…","patches":[["…",0.8],…]}`, with each α as the
    shortest decimal that reads back to the same float64.
    """
    document = {
        "clean": clean_weights,
        "patches": [[digest, float(alpha)] for digest, alpha in patches],
    }
    return sha256_hex(canonical_json(document).encode())
