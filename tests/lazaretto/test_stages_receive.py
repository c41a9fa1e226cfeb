"""Receiving: who may deliver what, what is kept, and what every refusal leaves on record."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.errors import ChangedFileError, DeliveryError
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import BatchReceived, DeliveryRefused, StoredFileChanged
from lazaretto.sources.manifest import keygen, sign_manifest
from lazaretto.sources.registry import add_key, add_source, revoke_key
from lazaretto.values import SignatureStatus, TrustTier

if TYPE_CHECKING:
    from lazaretto.ledger.events import Event

pytestmark = pytest.mark.alike
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SIGNED = make_policy(sources={"require_signature": True})


def _events(yard: Yard) -> list[Event]:
    with yard.workspace.catalog.read() as connection:
        return [entry.event for entry in ledger.entries(connection)]


def _signer(yard: Yard, source: str = "vendor-a") -> bytes:
    private, public = keygen()
    add_key(yard.workspace, source, public, valid_from=NOW - DAY, now=NOW - DAY)
    return private


def _sign(path: Path, private: bytes, **changes: object) -> bytes:
    said = {"source": "vendor-a", "collected_from": NOW - DAY, "collected_to": NOW} | changes
    return sign_manifest(path, private_key=private, issued_at=NOW, **said)  # type: ignore[arg-type]


def test_a_signed_delivery_is_kept_byte_for_byte_and_on_record(yard: Yard) -> None:
    private = _signer(yard)
    path = yard.deliver("monday", blobs(30, seed=5))
    envelope = _sign(path, private, rows=30)
    batch = stages.receive(
        yard.workspace, path, "vendor-a", manifest=envelope, policy=SIGNED, now=NOW
    )
    store = yard.workspace.store
    assert batch.id == f"vendor-a/{batch.digest[:32]}"
    assert (batch.rows, batch.received_at) == (30, NOW)
    event = _events(yard)[-1]
    assert isinstance(event, BatchReceived)
    assert event.signature.status is SignatureStatus.VERIFIED
    assert event.collected_from == NOW - DAY
    assert event.delivered.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert store.read(event.delivered) == path.read_bytes()
    assert event.signature.envelope is not None
    assert store.read(event.signature.envelope) == envelope


def test_the_same_delivery_again_is_the_same_batch_and_one_entry(yard: Yard) -> None:
    first = yard.receive("monday", blobs(30, seed=5))
    entries = len(_events(yard))
    assert yard.receive("monday", blobs(30, seed=5)) == first
    assert len(_events(yard)) == entries


def test_a_delivery_is_known_without_reading_all_that_its_source_ever_delivered(
    sqlite_yard: Yard,
) -> None:
    asked: list[tuple[str, Any]] = []
    engine = sqlite_yard.workspace.catalog.engine

    def note(_c: Any, _k: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if "batch.file_digest =" in statement:
            asked.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    sqlite_yard.receive("monday", blobs(30, seed=5))
    sa.event.remove(engine, "before_cursor_execute", note)
    assert asked
    with engine.connect() as connection:
        for statement, parameters in asked:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            looks = [row.detail for row in rows if " batch " in row.detail]
            assert len(looks) == 2, looks
            assert all("digest=?" in look for look in looks), looks


def test_another_day_is_the_same_batch(yard: Yard) -> None:
    path = yard.deliver("monday", blobs(30, seed=5))
    first = stages.receive(yard.workspace, path, "vendor-a", policy=yard.policy, now=NOW)
    for clock in (NOW + DAY, NOW - 400 * DAY):
        again = stages.receive(yard.workspace, path, "vendor-a", policy=yard.policy, now=clock)
        assert again == first


@pytest.mark.parametrize("which", ["delivered", "stored", "both"])
def test_a_lost_copy_is_there_again_after_the_same_delivery(yard: Yard, which: str) -> None:
    yard.receive("monday", blobs(30, seed=5))
    event, store = _events(yard)[-1], yard.workspace.store
    assert isinstance(event, BatchReceived)
    for name, file in (("delivered", event.delivered), ("stored", event.stored)):
        if which in (name, "both"):
            Path(store.uri(file.path)).unlink()
    batch = yard.receive("monday", blobs(30, seed=5))
    store.check(event.delivered)
    store.check(event.stored)
    stages.validate(yard.workspace, batch.id, yard.policy)


def test_a_changed_copy_is_named_when_the_same_is_delivered(yard: Yard) -> None:
    first = yard.receive("monday", blobs(30, seed=5))
    event = _events(yard)[-1]
    assert isinstance(event, BatchReceived)
    place = Path(yard.workspace.store.uri(event.stored.path))
    kept = place.read_bytes()
    place.write_bytes(b"x" + kept[1:])
    with pytest.raises(ChangedFileError) as caught:
        yard.receive("monday", blobs(30, seed=5))
    assert caught.value.path == event.stored.path
    said = _events(yard)[-1]
    assert isinstance(said, StoredFileChanged)
    assert (said.batch, said.stage, said.path) == (first.id, "receive", event.stored.path)
    assert place.read_bytes() == b"x" + kept[1:]
    place.unlink()
    assert yard.receive("monday", blobs(30, seed=5)) == first
    assert place.read_bytes() == kept


def test_a_file_in_another_encoding_with_the_same_records_is_a_replay(yard: Yard) -> None:
    rows = blobs(30, seed=5)
    first = yard.receive("monday", rows)
    path = yard.folder / "tuesday.parquet"
    pq.write_table(rows, path, compression="zstd", row_group_size=7)
    with pytest.raises(DeliveryError, match="already received: it has the same") as caught:
        stages.receive(yard.workspace, path, "vendor-a", policy=yard.policy)
    assert caught.value.code == "replay"
    assert first.id in str(caught.value)
    refusal = _events(yard)[-1]
    assert isinstance(refusal, DeliveryRefused)
    assert (refusal.code, refusal.uri) == ("replay", str(path))


def test_two_sources_may_deliver_the_same_records(yard: Yard) -> None:
    first = yard.receive("monday", blobs(30, seed=5))
    second = yard.receive("monday", blobs(30, seed=5), source="vendor-b")
    assert first.digest == second.digest
    assert first.id != second.id


def _refused(yard: Yard, path: Path, **arguments: object) -> DeliveryError:
    call = {"source": "vendor-a", "policy": SIGNED, "now": NOW} | arguments
    source = str(call.pop("source"))
    with pytest.raises(DeliveryError) as caught:
        stages.receive(yard.workspace, path, source, **call)  # type: ignore[arg-type]
    event = _events(yard)[-1]
    assert isinstance(event, DeliveryRefused)
    assert event.code == caught.value.code
    assert event.reason == str(caught.value)
    with yard.workspace.catalog.read() as connection:
        assert not list(ledger.entries(connection, kinds=["batch_received"]))
    assert yard.workspace.store.list("batches") == []
    return caught.value


def test_an_unknown_source_is_refused(yard: Yard) -> None:
    path = yard.deliver("x", blobs(9, seed=5))
    assert _refused(yard, path, source="nobody").code == "unknown_source"


def test_a_revoked_source_is_refused(yard: Yard) -> None:
    add_source(yard.workspace, "vendor-a", trust_tier=TrustTier.REVOKED)
    assert _refused(yard, yard.deliver("x", blobs(9, seed=5))).code == "revoked_source"


def test_no_manifest_is_refused_where_the_policy_asks_for_one(yard: Yard) -> None:
    error = _refused(yard, yard.deliver("x", blobs(9, seed=5)))
    assert error.code == "unsigned"
    assert "lazaretto manifest sign" in str(error)


def test_a_manifest_for_other_bytes_is_refused(yard: Yard) -> None:
    private = _signer(yard)
    envelope = _sign(yard.deliver("good", blobs(9, seed=5)), private)
    path = yard.deliver("swapped", blobs(9, seed=6))
    assert _refused(yard, path, manifest=envelope).code == "digest_mismatch"


def test_a_manifest_with_another_count_is_refused(yard: Yard) -> None:
    private = _signer(yard)
    path = yard.deliver("x", blobs(9, seed=5))
    error = _refused(yard, path, manifest=_sign(path, private, rows=10))
    assert error.code == "row_count_mismatch"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("unknown_key", SignatureStatus.UNKNOWN_KEY),
        ("revoked_key", SignatureStatus.REVOKED_KEY),
        ("expired_key", SignatureStatus.EXPIRED_KEY),
        ("bad_envelope", SignatureStatus.INVALID),
    ],
)
def test_how_the_signature_failed_is_on_record(
    sqlite_yard: Yard, code: str, status: SignatureStatus
) -> None:
    yard = sqlite_yard
    path = yard.deliver("x", blobs(9, seed=5))
    private, public = keygen()
    envelope = _sign(path, private)
    if code == "bad_envelope":
        envelope = b"{}"
    elif code != "unknown_key":
        end = NOW - timedelta(hours=1) if code == "expired_key" else None
        key = add_key(yard.workspace, "vendor-a", public, valid_from=NOW - DAY, valid_to=end)
        if code == "revoked_key":
            revoke_key(yard.workspace, "vendor-a", key.key_id, at=NOW - DAY, reason="stolen")
    assert _refused(yard, path, manifest=envelope).code == code
    event = _events(yard)[-1]
    assert isinstance(event, DeliveryRefused)
    assert event.signature.status is status


def test_a_manifest_of_another_source_is_refused(yard: Yard) -> None:
    private = _signer(yard, "vendor-b")
    path = yard.deliver("x", blobs(9, seed=5))
    error = _refused(yard, path, manifest=_sign(path, private, source="vendor-b"))
    assert error.code in ("unknown_key", "other_source")


def test_an_unreadable_file_is_refused_under_its_own_name(yard: Yard) -> None:
    path = yard.folder / "broken.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    error = _refused(yard, path, policy=yard.policy)
    assert str(path) in str(error)
    assert "lazaretto-" not in str(error)


def test_a_reserved_column_is_refused(yard: Yard) -> None:
    rows = blobs(9, seed=5).append_column("_lazaretto_batch", pa.array(["x"] * 9))
    path = yard.deliver("x", rows)
    assert "_lazaretto_batch" in str(_refused(yard, path, policy=yard.policy))


def test_a_delivery_beyond_the_limit_is_refused_before_it_is_copied_whole(yard: Yard) -> None:
    small = make_policy(limits={"max_bytes": 1000})
    error = _refused(yard, yard.deliver("x", blobs(900, seed=5)), policy=small)
    assert error.code == "too_large"


def test_credentials_of_a_uri_do_not_go_on_record(sqlite_yard: Yard) -> None:
    uri = "http://user:hunter2@127.0.0.1:1/x.parquet?X-Amz-Signature=hunter3"
    with pytest.raises(DeliveryError) as caught:
        stages.receive(sqlite_yard.workspace, uri, "vendor-a", policy=sqlite_yard.policy)
    event = _events(sqlite_yard)[-1]
    for text in (str(caught.value), repr(event)):
        assert "hunter" not in text
