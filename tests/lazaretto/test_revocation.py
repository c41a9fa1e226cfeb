"""Keys over time: what each state accepts, and what a revocation changes of what came before."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.cli.app import app
from lazaretto.errors import AdmissionRefusedError, DeliveryError, UsageError
from lazaretto.incidents.revocation import reach_of_revocation
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import RevocationOverridden
from lazaretto.lineage.openlineage.project import project
from lazaretto.lineage.trace.trace import trace_source
from lazaretto.quarantine import review
from lazaretto.quarantine.override import override
from lazaretto.quarantine.provenance import provenance_of
from lazaretto.sources.keys import key_identity, keygen
from lazaretto.sources.manifest import sign_manifest, verify_manifest
from lazaretto.sources.registry import add_key, add_source, revoke_key, revoke_source
from lazaretto.sources.source_key import SourceKey
from lazaretto.sources.standing import signature_of
from lazaretto.stages.listing import describe_batch
from lazaretto.values import Action, Actor, ActorType, SignatureStatus, TrustTier

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)
SKEW = timedelta(minutes=5)
SIGNED = make_policy(sources={"require_signature": True})


def _p256() -> tuple[bytes, bytes]:
    pair = ec.generate_private_key(ec.SECP256R1())
    return (
        pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


PAIRS = {"ed25519": keygen(), "ecdsa-sha2-nistp256": _p256()}


def _key(pair: tuple[bytes, bytes], **times: Any) -> SourceKey:
    key_id, scheme = key_identity(pair[1])
    return SourceKey("vendor-a", key_id, scheme, pair[1].decode(), **times)


def _outcome(
    file: Path, pair: tuple[bytes, bytes], keys: list[SourceKey], skew: timedelta, **said: Any
) -> str:
    envelope = sign_manifest(
        file,
        source="vendor-a",
        private_key=pair[0],
        **{"collected_from": NOW - DAY, "collected_to": NOW, "issued_at": NOW} | said,
    )
    try:
        return verify_manifest(envelope, keys, now=NOW, clock_skew=skew)[1].status.value
    except DeliveryError as error:
        return error.code


@pytest.mark.parametrize("scheme", PAIRS)
@pytest.mark.parametrize(
    ("valid_from", "valid_to", "revoked_at", "outcome"),
    [
        (NOW - DAY, None, None, "VERIFIED"),
        (NOW, None, None, "VERIFIED"),
        (NOW + SECOND, None, None, "not_yet_valid"),
        (NOW - DAY, NOW + SECOND, None, "VERIFIED"),
        (NOW - DAY, NOW, None, "expired_key"),
        (NOW - DAY, NOW - SECOND, None, "expired_key"),
        (NOW - DAY, None, NOW + SECOND, "VERIFIED"),
        (NOW - DAY, None, NOW, "revoked_key"),
        (NOW - DAY, None, NOW - DAY, "revoked_key"),
        (NOW - DAY, NOW - SECOND, NOW - DAY, "revoked_key"),
        (NOW + DAY, None, NOW - DAY, "revoked_key"),
    ],
)
@pytest.mark.parametrize("skew", [timedelta(0), SKEW])
def test_every_state_of_a_key(
    tmp_path: Path,
    scheme: str,
    valid_from: datetime,
    valid_to: datetime | None,
    revoked_at: datetime | None,
    outcome: str,
    skew: timedelta,
) -> None:
    """Our clock alone decides on a key, so that no skew, and no backdating, widens its times."""
    file, pair = tmp_path / "f", PAIRS[scheme]
    file.write_bytes(b"x")
    key = _key(pair, valid_from=valid_from, valid_to=valid_to, revoked_at=revoked_at)
    assert _outcome(file, pair, [key], skew) == outcome
    assert _outcome(file, pair, [key], skew, issued_at=NOW - 10 * DAY) == outcome


@pytest.mark.parametrize(
    ("issued", "expires", "skew", "outcome"),
    [
        (NOW, None, timedelta(0), "VERIFIED"),
        (NOW + SECOND, None, timedelta(0), "not_yet_valid"),
        (NOW + SKEW, None, SKEW, "VERIFIED"),
        (NOW + SKEW + SECOND, None, SKEW, "not_yet_valid"),
        (NOW - DAY, NOW + SECOND, timedelta(0), "VERIFIED"),
        (NOW - DAY, NOW, timedelta(0), "expired_manifest"),
        (NOW - DAY, NOW - SKEW + SECOND, SKEW, "VERIFIED"),
        (NOW - DAY, NOW - SKEW, SKEW, "expired_manifest"),
    ],
)
def test_a_sources_clock_may_be_off_by_the_skew_and_not_by_more(
    tmp_path: Path, issued: datetime, expires: datetime | None, skew: timedelta, outcome: str
) -> None:
    file, pair = tmp_path / "f", PAIRS["ed25519"]
    file.write_bytes(b"x")
    keys = [_key(pair, valid_from=NOW - DAY)]
    assert _outcome(file, pair, keys, skew, issued_at=issued, expires=expires) == outcome


def test_while_keys_are_rotated_both_count_and_each_by_its_own_times(tmp_path: Path) -> None:
    file, (old, new) = tmp_path / "f", PAIRS.values()
    file.write_bytes(b"x")
    keys = [
        _key(old, valid_from=NOW - 30 * DAY, valid_to=NOW + DAY),
        _key(new, valid_from=NOW - DAY),
    ]
    assert [_outcome(file, pair, keys, SKEW) for pair in (old, new)] == ["VERIFIED", "VERIFIED"]
    keys[0] = _key(old, valid_from=NOW - 30 * DAY, revoked_at=NOW - MINUTE)
    assert [_outcome(file, pair, keys, SKEW) for pair in (old, new)] == ["revoked_key", "VERIFIED"]


# What was received before


@pytest.fixture
def old_and_new(sqlite_yard: Yard) -> tuple[Yard, str, dict[str, str]]:
    return _delivered(sqlite_yard)


def _delivered(yard: Yard) -> tuple[Yard, str, dict[str, str]]:
    """Three batches of a key, two and one day before now, and one of another key; id of the key."""
    pairs = {"lost": keygen(), "kept": keygen()}
    for _, public in pairs.values():
        add_key(yard.workspace, "vendor-a", public, valid_from=NOW - 30 * DAY)
    found = {}
    for number, (name, pair, at) in enumerate(
        [
            ("before", "lost", NOW - 2 * DAY),
            ("admitted", "lost", NOW - DAY),
            ("held", "lost", NOW),
            ("other", "kept", NOW),
        ]
    ):
        rows = blobs(60, seed=20 + number, prefix=name, flips=4 if name == "held" else 0)
        path = yard.deliver(name, rows)
        manifest = sign_manifest(
            path,
            source="vendor-a",
            private_key=pairs[pair][0],
            collected_from=at - DAY,
            collected_to=at,
            issued_at=at,
        )
        found[name] = stages.receive(
            yard.workspace, path, "vendor-a", manifest=manifest, policy=SIGNED, now=at
        ).id
        for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
            stage(yard.workspace, found[name], SIGNED)
        if name != "held":
            stages.admit(yard.workspace, found[name])
    return yard, key_identity(pairs["lost"][1])[0], found


def _read_everywhere(yard: Yard, batch: str) -> set[str]:
    """How a batch's signature reads, wherever it is told."""
    workspace = yard.workspace
    traced = trace_source(workspace, "vendor-a").batches
    return {
        signature_of(workspace, batch).status.value,
        describe_batch(workspace, batch)["delivery"]["signature"].status.value,
        *(str(one.signature) for one in traced if one.id == batch),
        *(
            provenance_of(workspace, case.id).signature.value
            for case in review.list_cases(workspace, batch=batch)
        ),
    }


def test_a_key_revoked_with_a_date_regrades_what_it_signed_since_and_nothing_else(
    yard: Yard,
) -> None:
    yard, key, batches = _delivered(yard)
    assert all(_read_everywhere(yard, batch) == {"VERIFIED"} for batch in batches.values())
    revoke_key(yard.workspace, "vendor-a", key, at=NOW - DAY, reason="stolen")
    assert {name: _read_everywhere(yard, batch) for name, batch in batches.items()} == {
        "before": {"VERIFIED"},
        "admitted": {"REVOKED_KEY"},
        "held": {"REVOKED_KEY"},
        "other": {"VERIFIED"},
    }
    reach = reach_of_revocation(yard.workspace, "vendor-a", key, NOW - DAY)
    assert {one.id for one in reach.batches} == {batches["admitted"], batches["held"]}
    assert reach.records == 120
    assert [(one.dataset, one.admitted) for one in reach.datasets] == [("blobs", 60)]
    assert [one.records for one in reach.held] == [4]
    # Lineage tells of these batches again, with the signature that counts now.
    with yard.workspace.catalog.read() as connection:
        [revoked] = entries(connection, kinds=["key_revoked"])
    [told] = project(revoked, "lazaretto", yard.workspace.store.root).inputs
    assert told.facets["lazaretto_source"].signature == {"status": "REVOKED_KEY", "keyId": key}
    condition = told.inputFacets["subset"].inputCondition
    told_of = {one.identifier for one in condition.partitions}
    assert [name for name, batch in batches.items() if batch in told_of] == ["admitted", "held"]


def test_what_is_held_of_a_revoked_key_is_rejected_or_a_person_overrides(
    old_and_new: tuple[Yard, str, dict[str, str]],
) -> None:
    yard, key, batches = old_and_new
    workspace = yard.workspace
    [case] = [one.id for one in review.list_cases(workspace, batch=batches["held"])]
    with pytest.raises(UsageError, match=r"nothing of .* is revoked"):
        override(workspace, case, "just in case")
    review.decide(workspace, case, Action.RELEASE, ids=["held0"], reason="before it was known")
    revoke_key(workspace, "vendor-a", key, at=NOW - DAY, reason="stolen")
    with pytest.raises(AdmissionRefusedError, match="quarantine override") as refused:
        review.decide(workspace, case, Action.RELEASE, all=True, reason="fine")
    assert refused.value.code == "revoked_key"
    with pytest.raises(AdmissionRefusedError) as refused:
        review.publish(workspace, case)
    assert refused.value.code == "revoked_key"
    review.decide(workspace, case, Action.REJECT, ids=["held1"], reason="wrong label")
    for actor in (
        Actor(ActorType.OS_USER, "os:ann@host"),
        Actor(ActorType.SERVICE, "airflow:dag.task"),
    ):
        with pytest.raises(UsageError, match="whom Airflow authenticated"):
            override(workspace.acting(actor), case, "we looked at each")
    with pytest.raises(UsageError, match="say why"):
        override(workspace, case, "  ")
    override(workspace, case, "we looked at each")
    with workspace.catalog.read() as connection:
        [entry] = entries(connection, kinds=[RevocationOverridden.kind])
    assert isinstance(entry.event, RevocationOverridden)
    assert (entry.actor.id, entry.event.codes) == ("user:ann", ["revoked_key"])
    assert entry.event.reason == "we looked at each"
    review.decide(workspace, case, Action.RELEASE, ids=["held2"], reason="we looked at it")
    published = review.publish(workspace, case)
    assert published is not None
    assert published.rows == 2
    # It read revoked all along, and a new revocation ends the override.
    assert signature_of(workspace, batches["held"]).status is SignatureStatus.REVOKED_KEY
    add_source(workspace, "vendor-a", trust_tier=TrustTier.REVOKED)
    with pytest.raises(AdmissionRefusedError) as refused:
        review.decide(workspace, case, Action.RELEASE, ids=["held3"], reason="fine")
    assert refused.value.code == "revoked_source"


def test_a_source_is_revoked_with_all_its_keys(
    old_and_new: tuple[Yard, str, dict[str, str]],
) -> None:
    yard, _, batches = old_and_new
    found = revoke_source(yard.workspace, "vendor-a", at=NOW - DAY, reason="it was sold")
    assert found.trust_tier is TrustTier.REVOKED
    assert all(key.revoked_at == NOW - DAY for key in found.keys)
    assert {name: _read_everywhere(yard, batch) for name, batch in batches.items()} == {
        "before": {"VERIFIED"},
        "admitted": {"REVOKED_KEY"},
        "held": {"REVOKED_KEY"},
        "other": {"REVOKED_KEY"},
    }
    with pytest.raises(DeliveryError) as refused:
        yard.receive("late", blobs(10, seed=9))
    assert refused.value.code == "revoked_source"
    reach = reach_of_revocation(yard.workspace, "vendor-a", None, NOW - DAY)
    assert len(reach.batches) == 3


def test_the_command_says_what_is_touched_and_opens_the_incident(
    old_and_new: tuple[Yard, str, dict[str, str]], sqlite_catalog: str
) -> None:
    yard, key, batches = old_and_new
    place = ["--catalog", sqlite_catalog, "--store", str(yard.workspace.store.root)]
    line = ["source", "revoke", "vendor-a", key[:12], "--at", "2026-03-08T12:00:00Z"]
    line += ["--reason", "stolen", *place]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    shown = " ".join(result.output.split())
    assert "2 batches with 120 records" in shown
    opened = f"lazaretto incident open --key {key} --since 2026-03-08T12:00:00+00:00 --why TEXT"
    assert opened in shown.replace("\\ ", "")
    result = CliRunner().invoke(app, [*line, "--incident", "--json"])
    said = json.loads(result.stdout)
    assert {one["id"] for one in said["touched"]["batches"]} == {
        batches["admitted"],
        batches["held"],
    }
    assert said["incident"].startswith("incident-")
    result = CliRunner().invoke(app, ["incident", "show", said["incident"], *place, "--json"])
    asked = json.loads(result.stdout)["incident"]["question"]
    # What it asks is what was touched.
    assert (asked["kind"], asked["subject"], asked["since"]) == ("key", key, "2026-03-08T12:00:00Z")
    result = CliRunner().invoke(app, ["batch", "show", batches["held"], *place])
    assert "REVOKED_KEY" in result.output
    assert "VERIFIED" not in result.output
    [case] = [one.id for one in review.list_cases(yard.workspace, batch=batches["held"])]
    result = CliRunner().invoke(app, ["quarantine", "show", case, *place])
    assert "REVOKED_KEY" in result.output
    override_ = ["quarantine", "override", case, "--reason", "x", *place]
    assert CliRunner().invoke(app, override_).exit_code == 2
    # A whole source is not revoked by leaving an argument out.
    whole = ["source", "revoke", "vendor-a", "--reason", "sold", *place]
    assert CliRunner().invoke(app, whole).exit_code == 2
    assert CliRunner().invoke(app, [*whole, "--yes"]).exit_code == 0
