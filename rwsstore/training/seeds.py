"""Seeds of the parts of a run, so that any epoch can be repeated without those before it."""

__all__ = ["derive_seed"]

from rwsstore.canonical import canonical_json, sha256_hex


def derive_seed(*key: int | str) -> int:
    """Make an independent seed, 0 to 2^62 − 1, of a run's seed and the part's name and number."""
    return int(sha256_hex(canonical_json(key).encode())[:16], 16) >> 2
