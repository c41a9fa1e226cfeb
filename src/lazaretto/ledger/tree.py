"""The Merkle tree over the ledger's entries (RFC 6962, section 2.1): roots and proofs.

The tree's leaves are the entries' hashes: an entry's hash is the leaf hash of RFC 6962 of its
canonical JSON. The root over the first n entries is therefore a short name of all of them. Whoever
holds a root can be shown, by a few hashes, that an entry is under it (inclusion) and that a later
tree only appended to it (consistency). RFC 9162 keeps the same tree; its section 2.1 has the
checks.

Everything here works on hashes of 32 bytes and in one pass: no tree is ever held in memory.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from lazaretto.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Leaves: TypeAlias = tuple[int, int]
"""The leaves from the first number (counted from 0) up to, and without, the second."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that has to be remembered of a tree to append to it: log2(size) hashes.

    >>> Frontier().add(leaf_hash(b"one")).root() == leaf_hash(b"one")
    True

    Attributes:
        size: how many leaves the tree has.
        roots: roots of its perfect subtrees, the largest first: one for each 1 of `size` in binary.
    """

    size: int = 0
    roots: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or self.size.bit_count() != len(self.roots):
            raise LedgerError(f"a tree of {self.size} leaves has not {len(self.roots)} subtrees")

    def add(self, leaf: bytes) -> Frontier:
        """The tree with one more leaf, given by its leaf hash."""
        roots, root, size = list(self.roots), leaf, self.size
        while size & 1:
            root = node_hash(roots.pop(), root)
            size >>= 1
        return Frontier(self.size + 1, (*roots, root))

    def root(self) -> bytes:
        """The Merkle tree hash, 32 bytes."""
        if not self.roots:
            return EMPTY_ROOT
        root = self.roots[-1]
        for left in self.roots[-2::-1]:
            root = node_hash(left, root)
        return root


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf: ``sha256(0x00 || data)``."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: ``sha256(0x01 || left || right)``."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def inclusion_ranges(index: int, size: int) -> list[Leaves]:
    """Which subtrees prove that a leaf is in a tree (RFC 6962, section 2.1.1).

    Args:
        index: of the leaf, from 0.
        size: of the tree.

    Returns:
        Their leaves, from the leaf's sibling up to below the root; `subtree_roots` hashes them.

    Raises:
        LedgerError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise LedgerError(f"a tree of {size} leaves has no leaf {index}")
    start, stop, ranges = 0, size, list[Leaves]()
    while stop - start > 1:
        middle = start + _left_leaves(stop - start)
        if index < middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, size: int) -> list[Leaves]:
    """Which subtrees prove that a tree extends an older one (RFC 6962, section 2.1.2).

    Args:
        old: size of the older tree, at least 1.
        size: of the tree.

    Returns:
        Their leaves, in the order of the proof; `subtree_roots` hashes them.

    Raises:
        LedgerError: the older tree is empty, or larger.
    """
    if not 0 < old <= size:
        raise LedgerError(f"a tree of {size} leaves does not extend one of {old}")
    start, stop, ranges = 0, size, list[Leaves]()
    while stop != old:
        middle = start + _left_leaves(stop - start)
        if old <= middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    # Whoever verifies knows the old root already: it is only left out where it is a subtree.
    return ([(start, stop)] if start else []) + ranges[::-1]


def subtree_roots(leaves: Iterable[bytes], ranges: Sequence[Leaves]) -> list[bytes]:
    """Hashes subtrees in one pass over all leaves, in memory of log2(n) hashes.

    Args:
        leaves: leaf hashes of the whole tree, in order.
        ranges: which leaves each subtree has; no leaf is in two.

    Returns:
        Root of each, in the order of `ranges`.

    Raises:
        LedgerError: there are fewer leaves than the ranges name.
    """
    waiting = sorted(ranges, reverse=True)
    roots: dict[Leaves, bytes] = {}
    current = Frontier()
    for index, leaf in enumerate(leaves):
        if not waiting:
            break
        start, stop = waiting[-1]
        if index < start:
            continue
        current = current.add(leaf)
        if index + 1 == stop:
            roots[waiting.pop()] = current.root()
            current = Frontier()
    if waiting:
        raise LedgerError(f"the tree ends before leaf {waiting[-1][1] - 1}")
    return [roots[wanted] for wanted in ranges]


def root_by_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a tree has if a leaf is in it, by an inclusion proof (RFC 9162, 2.1.3.2).

    Args:
        leaf: its leaf hash.
        index: its position, from 0.
        size: of the tree.
        proof: hashes from the leaf's sibling up.

    Returns:
        A root of 32 bytes; the leaf is in the tree if and only if it is the tree's.

    Raises:
        LedgerError: the proof is not of the shape that this leaf and size ask for.
    """
    ranges = inclusion_ranges(index, size)
    _require_shape(proof, len(ranges))
    root = leaf
    for (start, _), sibling in zip(ranges, proof, strict=True):
        root = node_hash(root, sibling) if start > index else node_hash(sibling, root)
    return root


def is_consistent(
    old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether a proof shows that a tree extends an older one (RFC 9162, section 2.1.4.2).

    Args:
        old: size of the older tree.
        old_root: its root.
        size: of the newer tree.
        root: its root.
        proof: hashes as `consistency_ranges` orders them.

    Returns:
        False where the trees differ; a proof of another shape proves nothing.
    """
    try:
        ranges = consistency_ranges(old, size)
        _require_shape(proof, len(ranges))
    except LedgerError:
        return False
    hashes = dict(zip(ranges, proof, strict=True))
    if old == size:
        return old_root == root
    # The largest subtree that both trees end in: it is in the proof, or it is the old tree itself.
    first = ranges[0] if ranges[0][1] == old else (0, old)
    old_side = new_side = hashes.get(first, old_root)
    for leaves in ranges:
        if leaves == first:
            continue
        if leaves[0] < first[0]:
            old_side = node_hash(hashes[leaves], old_side)
            new_side = node_hash(hashes[leaves], new_side)
        else:
            new_side = node_hash(new_side, hashes[leaves])
    return old_side == old_root and new_side == root


def _left_leaves(size: int) -> int:
    """Leaves of the left subtree: the largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _require_shape(proof: Sequence[bytes], length: int) -> None:
    if len(proof) != length or any(len(part) != HASH_BYTES for part in proof):
        raise LedgerError(f"the proof has not the {length} hashes of {HASH_BYTES} bytes it needs")
