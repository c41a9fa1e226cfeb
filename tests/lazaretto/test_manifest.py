"""Manifests: only what a valid key of the source signed, at a plausible time, for these bytes."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.errors import DeliveryError, UsageError
from lazaretto.sources.manifest import (
    PREDICATE_TYPE,
    check_file,
    key_identity,
    keygen,
    sign_manifest,
    verify_manifest,
)
from lazaretto.sources.source_key import SourceKey
from lazaretto.values import SignatureStatus

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SKEW = timedelta(minutes=5)
PRIVATE, PUBLIC = keygen()


def pinned(public: bytes = PUBLIC, **changes: Any) -> SourceKey:
    key_id, scheme = key_identity(public)
    fields = {"valid_from": NOW - 30 * DAY, **changes}
    return SourceKey("vendor-a", key_id, scheme, public.decode(), **fields)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.parquet"
    path.write_bytes(b"some bytes")
    return path


def sign(file: Path, **changes: Any) -> bytes:
    options: dict[str, Any] = {
        "source": "vendor-a",
        "private_key": PRIVATE,
        "collected_from": NOW - 3 * DAY,
        "collected_to": NOW - DAY,
        "issued_at": NOW,
    }
    return sign_manifest(file, **{**options, **changes})


def refusal(envelope: bytes, *keys: SourceKey, now: datetime = NOW) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        verify_manifest(envelope, keys or [pinned()], now=now, clock_skew=SKEW)
    return raised.value


def test_a_manifest_says_who_collected_what_and_when(file: Path) -> None:
    envelope = sign(file, rows=7, expires=NOW + DAY)
    manifest, signature = verify_manifest(envelope, [pinned()], now=NOW, clock_skew=SKEW)
    assert (manifest.source, manifest.subject, manifest.rows) == ("vendor-a", "reviews.parquet", 7)
    assert (manifest.collected_from, manifest.collected_to) == (NOW - 3 * DAY, NOW - DAY)
    assert (manifest.issued_at, manifest.expires) == (NOW, NOW + DAY)
    assert signature.status is SignatureStatus.VERIFIED
    assert signature.key_id == pinned().key_id
    assert check_file(manifest, file) == hashlib.sha256(b"some bytes").hexdigest()


def test_the_envelope_is_dsse_around_an_in_toto_statement(file: Path) -> None:
    envelope = json.loads(sign(file))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == PREDICATE_TYPE
    assert statement["subject"] == [
        {"name": "reviews.parquet", "digest": {"sha256": hashlib.sha256(b"some bytes").hexdigest()}}
    ]
    # The signature, checked without the library that made it: DSSE's pre-authentication encoding.
    payload = base64.b64decode(envelope["payload"])
    kind = b"application/vnd.in-toto+json"
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    private: Any = load_pem_private_key(PRIVATE, None)
    private.public_key().verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)


def test_other_bytes_than_signed_are_a_mismatch(file: Path) -> None:
    manifest, _ = verify_manifest(sign(file), [pinned()], now=NOW, clock_skew=SKEW)
    file.write_bytes(b"some bytez")
    with pytest.raises(DeliveryError, match="other bytes than the source sent") as raised:
        check_file(manifest, file)
    assert raised.value.code == "digest_mismatch"


def test_a_key_that_is_not_pinned_is_unknown(file: Path) -> None:
    private, public = keygen()
    error = refusal(sign(file, private_key=private))
    assert error.code == "unknown_key"
    assert str(error) == (
        f"the manifest is signed by key {key_identity(public)[0][:16]!r}…, which is not pinned for "
        "this source; if it is the source's own, pin it: `lazaretto source add NAME --key FILE`"
    )


def test_a_stranger_who_borrows_a_key_id_is_found_out(file: Path) -> None:
    envelope = json.loads(sign(file, private_key=keygen()[0]))
    envelope["signatures"][0]["keyid"] = pinned().key_id
    assert refusal(json.dumps(envelope).encode()).code == "bad_signature"


@given(position=st.integers(0, 2000), flip=st.integers(1, 255))
@settings(max_examples=examples(80), deadline=None)
def test_any_changed_byte_of_the_payload_is_found(
    tmp_path_factory: Any, position: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("m") / "f"
    path.write_bytes(b"x")
    envelope = json.loads(sign(path))
    payload = bytearray(base64.b64decode(envelope["payload"]))
    payload[position % len(payload)] ^= flip
    envelope["payload"] = base64.b64encode(bytes(payload)).decode()
    assert refusal(json.dumps(envelope).encode()).code == "bad_signature"


@pytest.mark.parametrize("name", [None, "", "somebody"])
def test_the_key_id_in_an_envelope_is_only_a_hint(file: Path, name: str | None) -> None:
    envelope = json.loads(sign(file))
    envelope["signatures"][0]["keyid"] = name
    _, signature = verify_manifest(
        json.dumps(envelope).encode(), [pinned()], now=NOW, clock_skew=SKEW
    )
    assert signature.key_id == pinned().key_id


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"revoked_at": NOW}, "revoked_key", "is revoked since 2026-03-09T12:00:00Z"),
        ({"valid_to": NOW}, "expired_key", "expired at 2026-03-09T12:00:00Z"),
        ({"valid_from": NOW + DAY}, "not_yet_valid", "valid only from 2026-03-10T12:00:00Z on"),
    ],
)
def test_a_key_outside_its_time_is_refused(
    file: Path, changes: dict[str, Any], code: str, message: str
) -> None:
    error = refusal(sign(file), pinned(**changes))
    assert error.code == code
    assert message in str(error)


def test_a_thief_cannot_backdate_past_a_revocation(file: Path) -> None:
    envelope = sign(
        file, issued_at=NOW - 20 * DAY, collected_from=NOW - 22 * DAY, collected_to=NOW - 21 * DAY
    )
    assert refusal(envelope, pinned(revoked_at=NOW - DAY)).code == "revoked_key"


def test_a_second_pinned_key_serves_while_the_first_is_revoked(file: Path) -> None:
    private, public = keygen()
    keys = [pinned(revoked_at=NOW - DAY), pinned(public)]
    _, signature = verify_manifest(sign(file, private_key=private), keys, now=NOW, clock_skew=SKEW)
    assert signature.key_id == keys[1].key_id


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (NOW - SKEW - timedelta(seconds=1), "not_yet_valid"),
        (NOW - SKEW, None),
        (NOW + DAY + SKEW - timedelta(seconds=1), None),
        (NOW + DAY + SKEW, "expired_manifest"),
    ],
)
def test_clocks_may_differ_by_the_skew_and_not_more(
    file: Path, now: datetime, code: str | None
) -> None:
    envelope = sign(file, expires=NOW + DAY)
    if code is None:
        verify_manifest(envelope, [pinned()], now=now, clock_skew=SKEW)
    else:
        assert refusal(envelope, now=now).code == code


def test_the_message_about_a_wrong_clock_says_by_how_much(file: Path) -> None:
    error = refusal(sign(file), now=NOW - timedelta(hours=1))
    assert str(error) == (
        "the manifest was issued at 2026-03-09T12:00:00Z, which is 3600 s from now, more than the "
        "300 s of clock skew allowed; check the source's clock"
    )


def test_a_key_speaks_only_for_its_own_source(file: Path) -> None:
    error = refusal(sign(file, source="vendor-b"))
    assert error.code == "other_source"
    assert "is for source 'vendor-b', but signed with a key of 'vendor-a'" in str(error)


def _resigned(statement: dict[str, Any]) -> bytes:
    """A hostile source may sign whatever it likes."""
    from securesystemslib import dsse
    from securesystemslib.signer import CryptoSigner

    envelope = dsse.Envelope(json.dumps(statement).encode(), "application/vnd.in-toto+json", {})
    private: Any = load_pem_private_key(PRIVATE, None)
    envelope.sign(CryptoSigner(private))
    return json.dumps(envelope.to_dict()).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["predicateType"], "https://slsa.dev/provenance/v1"),
        (["subject"], []),
        (["subject", 0, "digest"], {"md5": "0"}),
        (["subject", 0, "digest", "sha256"], "../../etc/passwd"),
        (["predicate", "issuedAt"], "2026-03-09T12:00:00"),
        (["predicate", "collectedFrom"], "2027-01-01T00:00:00Z"),
        (["predicate", "rows"], -1),
        (["predicate", "rows"], "7"),
        (["predicate", "source"], None),
        (["predicate"], None),
    ],
)
def test_a_signed_statement_of_another_shape_is_refused(
    file: Path, path: list[Any], value: Any
) -> None:
    statement = json.loads(base64.b64decode(json.loads(sign(file))["payload"]))
    place = statement
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert refusal(_resigned(statement)).code == "bad_envelope"


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'{"payload": "e30=", "payloadType": "x", "signatures": []}',
        b'{"payload": 7, "payloadType": 7, "signatures": [7]}',
        b'{"payload": "e30=", "payload": "e30=", "payloadType": "x", "signatures": []}',
        b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": []}',
        b'{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":'
        + json.dumps([{"keyid": str(i), "sig": "AA=="} for i in range(17)]).encode()
        + b"}",
        b"[" * 100_000,
        b" " * (2 << 20),
    ],
    ids=lambda value: str(value[:30]),
)
def test_what_is_no_envelope_is_refused_without_a_crash(envelope: bytes) -> None:
    error = refusal(envelope)
    assert error.code == "bad_envelope"
    assert str(error).startswith("the manifest cannot be read: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"collected_from": datetime(2026, 3, 1)},
            "collectedFrom: Input should have timezone info",
        ),
        ({"collected_to": NOW - 9 * DAY}, "collectedFrom is after collectedTo"),
        ({"expires": NOW - DAY}, "expires is not after issuedAt"),
        ({"private_key": b"nonsense"}, "this is no private key that can be used"),
    ],
)
def test_signing_says_what_is_wrong(file: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        sign(file, **changes)
    assert message in str(raised.value)


def test_ecdsa_keys_work_and_other_kinds_do_not(file: Path) -> None:
    def pair(key: Any) -> tuple[bytes, bytes]:
        return (
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        )

    private, public = pair(ec.generate_private_key(ec.SECP256R1()))
    _, signature = verify_manifest(
        sign(file, private_key=private), [pinned(public)], now=NOW, clock_skew=SKEW
    )
    assert signature.scheme == "ecdsa-sha2-nistp256"
    private, public = pair(rsa.generate_private_key(65537, 2048))
    with pytest.raises(UsageError, match="not accepted"):
        key_identity(public)
    with pytest.raises(UsageError, match="not accepted"):
        sign(file, private_key=private)


def test_errors_do_not_tell_the_key(file: Path) -> None:
    private: Any = load_pem_private_key(PRIVATE, None)
    locked = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")
    )
    for data in (locked, PRIVATE[:60]):
        with pytest.raises(UsageError) as raised:
            sign(file, private_key=data)
        assert raised.value.__cause__ is None
        assert data.splitlines()[1][:16].decode() not in str(raised.value)
    with pytest.raises(UsageError, match="no public key in PEM"):
        key_identity(PRIVATE)
