"""Signed notes: the specification's example, keys of every form, and whatever is not one."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.errors import LedgerError, UsageError
from lazaretto.ledger.note import (
    VerifierKey,
    find_signer,
    parse_note,
    read_signing_key,
    read_verifier_key,
    require_key_name,
    sign_note,
)

# https://c2sp.org/signed-note, section "Example".
VKEY = b"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuw"
    "HjG1Yu72IneyaQM=\n"
).encode()
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = VerifierKey(KEY.public_key().public_bytes_raw())
TEXT = "a\nb\n\nc\n"


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)


def test_the_specification_s_example_verifies() -> None:
    key = read_verifier_key(VKEY + b"\n")
    assert key.name == "example.com/foo"
    assert key.vkey(key.name) == VKEY.decode()
    note = parse_note(NOTE)
    assert note.text == "This is an example message.\n"
    assert find_signer(note, [key]) == "example.com/foo"
    assert find_signer(note, [VerifierKey(key.public)]) == "example.com/foo", "a key without a name"
    assert find_signer(note, [PUBLIC]) is None
    assert find_signer(note, [VerifierKey(key.public, "example.com/bar")]) is None


def test_what_is_signed_comes_back() -> None:
    data = sign_note(TEXT, "gate", KEY)
    assert data == sign_note(TEXT, "gate", KEY), "the same bytes each time"
    note = parse_note(data)
    assert note.text == TEXT
    assert find_signer(note, [PUBLIC]) == "gate"
    assert find_signer(note, [read_verifier_key(PUBLIC.vkey("gate").encode())]) == "gate"
    assert find_signer(note, [read_verifier_key(pem(KEY))]) == "gate"


def test_other_signatures_are_ignored_and_a_wrong_one_is_not() -> None:
    other = Ed25519PrivateKey.generate()
    line = sign_note(TEXT, "other", other).decode().rsplit("\n\n", 1)[1]
    both = parse_note(sign_note(TEXT, "gate", KEY) + line.encode())
    assert find_signer(both, [PUBLIC]) == "gate"
    assert find_signer(both, [VerifierKey(other.public_key().public_bytes_raw())]) == "other"
    forged = sign_note("x\n", "gate", KEY).decode().rsplit("\n\n", 1)[1]
    with pytest.raises(LedgerError, match="changed after signing"):
        find_signer(parse_note(f"{TEXT}\n{forged}".encode()), [PUBLIC])


def test_a_signature_under_another_name_is_another_key() -> None:
    data = sign_note(TEXT, "gate", KEY).decode().replace("— gate ", "— door ")
    assert find_signer(parse_note(data.encode()), [PUBLIC]) is None


@given(st.data())
@settings(max_examples=examples(200))
def test_whatever_byte_is_changed_it_is_not_verified(data: st.DataObject) -> None:
    whole = sign_note(TEXT, "gate", KEY)
    position = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda new: new != whole[position]))
    changed = whole[:position] + bytes([byte]) + whole[position + 1 :]
    try:
        note = parse_note(changed)
        assert find_signer(note, [PUBLIC]) is None
    except LedgerError:
        pass


def test_base64_has_one_form() -> None:
    """The last letter before the padding has two bits that decode to nothing."""
    whole = sign_note(TEXT, "gate", KEY).decode()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(whole[-3])
    with pytest.raises(LedgerError):
        parse_note(f"{whole[:-3]}{alphabet[last + 1]}=\n".encode())


@given(st.binary(max_size=300))
def test_any_bytes_are_a_note_or_an_error(data: bytes) -> None:
    for whole in (data, b"a\n\n" + data, b"a\n\n\xe2\x80\x94 n " + base64.b64encode(data) + b"\n"):
        try:
            note = parse_note(whole)
        except LedgerError:
            continue
        assert find_signer(note, [PUBLIC]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"\n\n\xe2\x80\x94 gate AAAAAAAAAA==\n",
        b"te\x07xt\n\n\xe2\x80\x94 gate AAAAAAAAAA==\n",
        b"te\rxt\n\n\xe2\x80\x94 gate AAAAAAAAAA==\n",
        b"te\xffxt\n\n\xe2\x80\x94 gate AAAAAAAAAA==\n",
        b"text\n\n- gate AAAAAAAAAA==\n",
        b"text\n\n\xe2\x80\x94 gate AAAAA\n",
        b"text\n\n\xe2\x80\x94 gate AAAA\n",
        b"text\n\n\xe2\x80\x94 ga te AAAAAAAAAA==\n",
        b"text\n\n\xe2\x80\x94 gate AAAAAAAAAA==",
        b"text\n\n" + b"\xe2\x80\x94 gate AAAAAAAAAA==\n" * 65,
        b"x" * 70_000 + b"\n\n\xe2\x80\x94 gate AAAAAAAAAA==\n",
    ],
)
def test_what_is_no_note_is_an_error(data: bytes) -> None:
    with pytest.raises(LedgerError):
        parse_note(data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"no key", "give a public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "PEM"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "Ed25519"),
        (VKEY.replace(b"530d903a", b"530d903b"), "id"),
        (VKEY[:-4], "give a public key"),
        (b"\xff+00000000+AAAA", "give a public key"),
    ],
)
def test_what_is_no_key_is_an_error(data: bytes, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_verifier_key(data)


def test_what_signs_is_ed25519() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    )
    for data in (b"no key", other, pem(KEY)):
        with pytest.raises(UsageError, match="Ed25519"):
            read_signing_key(data)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\x7fb", "a\u2003b", "x" * 201])
def test_what_cannot_stand_on_a_signature_line_names_no_key(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a key"):
        require_key_name(name)
