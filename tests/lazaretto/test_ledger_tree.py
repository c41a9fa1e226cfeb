"""The Merkle tree: Certificate Transparency's vectors, RFC 6962 by definition, and tampering."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaretto.errors import LedgerError
from lazaretto.ledger.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_ranges,
    inclusion_ranges,
    is_consistent,
    leaf_hash,
    node_hash,
    root_by_inclusion,
    subtree_roots,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 130

# The eight leaves, roots and proofs that the implementations of Certificate Transparency share.
DATA = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): INCLUSION[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
LEAVES = [leaf_hash(bytes.fromhex(data)) for data in DATA]
MANY = [leaf_hash(str(number).encode()) for number in range(MOST)]


def frontier(leaves: Sequence[bytes]) -> Frontier:
    tree = Frontier()
    for leaf in leaves:
        tree = tree.add(leaf)
    return tree


def by_definition(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node_hash(by_definition(leaves[:k]), by_definition(leaves[k:]))


ROOT_OF = [by_definition(MANY[:size]) for size in range(MOST + 1)]


def inclusion(leaves: Sequence[bytes], index: int, size: int) -> list[bytes]:
    return subtree_roots(leaves[:size], inclusion_ranges(index, size))


def consistency(leaves: Sequence[bytes], old: int, size: int) -> list[bytes]:
    return subtree_roots(leaves[:size], consistency_ranges(old, size))


def test_roots_are_those_of_certificate_transparency() -> None:
    assert Frontier().root().hex() == hashlib.sha256(b"").hexdigest() == EMPTY_ROOT.hex()
    assert [frontier(LEAVES[: n + 1]).root().hex() for n in range(8)] == ROOTS


@pytest.mark.parametrize("case", INCLUSION)
def test_inclusion_proofs_are_those_of_certificate_transparency(case: tuple[int, int]) -> None:
    assert [part.hex() for part in inclusion(LEAVES, *case)] == INCLUSION[case]


@pytest.mark.parametrize("case", CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(case: tuple[int, int]) -> None:
    assert [part.hex() for part in consistency(LEAVES, *case)] == CONSISTENCY[case]


def test_roots_and_inclusion_of_every_size() -> None:
    tree = Frontier()
    for size in range(MOST + 1):
        assert (tree.size, tree.root()) == (size, ROOT_OF[size])
        assert Frontier(tree.size, tree.roots) == tree
        if size < MOST:
            tree = tree.add(MANY[size])
    for size in (1, 2, 3, 7, 8, 9, 64, 65, 127, 128, MOST):
        for index in range(size):
            proof = inclusion(MANY, index, size)
            assert root_by_inclusion(MANY[index], index, size, proof) == ROOT_OF[size]


def test_consistency_of_every_pair_of_sizes() -> None:
    for size in range(1, MOST + 1, 3):
        for old in range(1, size + 1):
            proof = consistency(MANY, old, size)
            assert len(proof) <= size.bit_length() + 1
            assert is_consistent(old, ROOT_OF[old], size, ROOT_OF[size], proof), (old, size)


sizes = st.integers(1, MOST)


@given(st.data(), sizes)
def test_an_altered_inclusion_proof_fails(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion(MANY, index, size)
    leaf = MANY[index]
    match data.draw(st.sampled_from(["leaf", "index", "size", "hash", "drop", "add", "short"])):
        case "leaf":
            leaf = flipped(data, leaf)
        case "index":
            index = data.draw(st.integers(0, size).filter(lambda other: other != index))
        case "size":
            size = data.draw(
                sizes.filter(lambda other: len(inclusion_path(index, other)) != len(proof))
            )
        case "hash" if proof:
            proof = altered(data, proof)
        case "drop" if proof:
            del proof[data.draw(st.integers(0, len(proof) - 1))]
        case "short" if proof:
            proof[-1] = proof[-1][:-1]
        case _:
            proof.append(MANY[0])
    try:
        root = root_by_inclusion(leaf, index, size, proof)
    except LedgerError:
        return
    assert root not in ROOT_OF


def inclusion_path(index: int, size: int) -> list[tuple[int, int]]:
    return inclusion_ranges(index, size) if index < size else [(0, 0)] * 99


@given(st.data(), sizes, sizes)
def test_an_altered_consistency_proof_fails(data: st.DataObject, one: int, other: int) -> None:
    old, size = sorted((one, other))
    old_root, root, proof = ROOT_OF[old], ROOT_OF[size], consistency(MANY, old, size)
    match data.draw(
        st.sampled_from(["old", "new", "both", "hash", "drop", "add", "short", "swap"])
    ):
        case "old":
            old_root = flipped(data, old_root)
        case "new":
            root = flipped(data, root)
        case "both":
            old_root, root = flipped(data, old_root), flipped(data, root)
            if old == size:
                root = flipped(data, old_root)
        case "hash" if proof:
            proof = altered(data, proof)
        case "drop" if proof:
            del proof[data.draw(st.integers(0, len(proof) - 1))]
        case "short" if proof:
            proof[0] = proof[0][1:]
        case "swap" if old < size:
            old, size, old_root, root = size, old, root, old_root
        case _:
            proof.append(MANY[0])
    assert not is_consistent(old, old_root, size, root, proof)


@given(st.data(), sizes, sizes)
def test_no_proof_joins_a_rewritten_tree_to_the_old_one(
    data: st.DataObject, one: int, other: int
) -> None:
    old, size = sorted((one, other))
    changed = data.draw(st.integers(0, old - 1))
    rewritten = [*MANY[:changed], leaf_hash(b"rewritten"), *MANY[changed + 1 :]]
    root = frontier(rewritten[:size]).root()
    for leaves in (MANY, rewritten):
        assert not is_consistent(old, ROOT_OF[old], size, root, consistency(leaves, old, size))


def flipped(data: st.DataObject, digest: bytes) -> bytes:
    position = data.draw(st.integers(0, len(digest) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    return digest[:position] + bytes([digest[position] ^ bit]) + digest[position + 1 :]


def altered(data: st.DataObject, proof: Sequence[bytes]) -> list[bytes]:
    position = data.draw(st.integers(0, len(proof) - 1))
    return [flipped(data, part) if n == position else part for n, part in enumerate(proof)]


@pytest.mark.parametrize(
    "ask",
    [
        lambda: inclusion_ranges(3, 3),
        lambda: inclusion_ranges(-1, 3),
        lambda: consistency_ranges(0, 3),
        lambda: consistency_ranges(4, 3),
        lambda: subtree_roots(MANY[:3], [(2, 4)]),
        lambda: Frontier(3, (MANY[0],)),
        lambda: Frontier(-1),
    ],
)
def test_what_no_tree_has_is_an_error(ask) -> None:
    with pytest.raises(LedgerError):
        ask()
