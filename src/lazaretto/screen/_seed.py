"""The seed of what is drawn at random in a screening."""

from __future__ import annotations

import hashlib


def seed_of(batch: str, reference: str) -> int:
    """A seed that a re-run gives again, and that who makes the batch cannot choose.

    Samples and permutations follow from the batch's digest and the reference's. Who makes a batch
    does not know the second: so nobody can place poison where no sample looks.

    Args:
        batch: digest of the batch.
        reference: digest of the reference.

    Examples:
        >>> seed_of("a1", "b2") == seed_of("a1", "b2") != seed_of("a1", "b3")
        True
    """
    return int.from_bytes(hashlib.sha256(f"{batch}\n{reference}".encode()).digest()[:8], "big")


def seed_for(seed: int, what: str) -> int:
    """A seed for one thing that is drawn, so that it does not depend on what else is drawn.

    Args:
        seed: of the screening.
        what: the thing.

    Examples:
        >>> seed_for(7, "permutations") == seed_for(7, "permutations") != seed_for(7, "rows")
        True
    """
    return seed_of(str(seed), what)
