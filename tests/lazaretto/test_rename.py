"""A renamed source: its history goes on, every name leads to it, and nobody else gets one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.cli.app import app
from lazaretto.errors import DeliveryError, NotFoundError, UsageError
from lazaretto.incidents import open_incident, place_hold
from lazaretto.ledger.chain import entries
from lazaretto.lineage.trace.trace import trace_source
from lazaretto.policy.effective import effective_settings
from lazaretto.quarantine.review import list_cases
from lazaretto.sources.keys import keygen
from lazaretto.sources.manifest import sign_manifest
from lazaretto.sources.registry import (
    add_key,
    add_source,
    get_source,
    list_sources,
    rename_source,
    revoke_key,
)
from lazaretto.stages.deliveries import Wanted, list_deliveries
from lazaretto.stages.sources import show_source
from lazaretto.values import HoldKind, Question, SignatureStatus, TrustTier, Verdict

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.alike

DAY = timedelta(days=1)
NAMES = ("vendor-a", "acme", "acme-data")


@pytest.fixture
def renamed(yard: Yard) -> Yard:
    """A source that delivered twice, with a case, and was renamed twice since."""
    yard.admit("monday", blobs(60, seed=5, prefix="m"))
    yard.judge("tuesday", blobs(60, seed=6, prefix="t", flips=4))
    for old, new in pairwise(NAMES):
        rename_source(yard.workspace, old, new, reason="they were bought")
    return yard


def test_every_name_leads_to_the_whole_history(renamed: Yard) -> None:
    workspace = renamed.workspace
    sources = [get_source(workspace, name) for name in NAMES]
    assert sources[0] == sources[1] == sources[2]
    assert (sources[0].name, sources[0].shown_name) == ("vendor-a", "acme-data")
    late = renamed.receive("wednesday", blobs(60, seed=7, prefix="w"), "acme-data")
    assert late.id.startswith("vendor-a/"), "its batches keep one kind of id"
    for name in NAMES:
        rows = list_deliveries(workspace, Wanted(source=name)).rows
        assert len(rows) == 3
        assert len(list_cases(workspace, source=name)) == 1
        assert show_source(workspace, name).counts.deliveries == 3
        assert len(trace_source(workspace, name).batches) == 3
    # A replay is one, whatever name it comes under.
    path = renamed.deliver("again", blobs(60, seed=5, prefix="m"))
    with pytest.raises(DeliveryError) as refused:
        stages.receive(workspace, path, "acme", policy=renamed.policy)
    assert refused.value.code == "replay"
    assert [one.code for one in show_source(workspace, "acme-data").refusals] == ["replay"]
    _, event = _renamings(renamed)
    assert (event.actor.id, event.event.reason) == ("user:ann", "they were bought")


def _renamings(yard: Yard) -> list[Any]:
    with yard.workspace.catalog.read() as connection:
        return list(entries(connection, kinds=["source_renamed"]))


def test_no_name_that_it_had_is_anybody_elses(renamed: Yard) -> None:
    workspace = renamed.workspace
    for name in NAMES:
        add_source(workspace, name, trust_tier=TrustTier.TRUSTED)
        with pytest.raises(UsageError, match="name of source 'vendor-a'"):
            rename_source(workspace, "vendor-b", name, reason="take over")
    assert [source.name for source in list_sources(workspace)] == ["vendor-a", "vendor-b"]
    assert get_source(workspace, "vendor-a").trust_tier is TrustTier.TRUSTED
    with pytest.raises(UsageError, match="name of source 'vendor-b'"):
        rename_source(workspace, "acme", "vendor-b", reason="take over")
    assert rename_source(workspace, "acme", "vendor-a", reason="back").shown_name == "vendor-a"
    assert len(_renamings(renamed)) == 3
    rename_source(workspace, "acme", "vendor-a", reason="again")
    assert len(_renamings(renamed)) == 3, "the same again changes nothing"
    with pytest.raises(UsageError, match="cannot name a source"):
        rename_source(workspace, "acme", "../acme", reason="x")
    with pytest.raises(UsageError, match="say why"):
        rename_source(workspace, "acme", "acme-2", reason=" ")
    with pytest.raises(NotFoundError):
        rename_source(workspace, "nobody", "acme-2", reason="x")


def test_keys_and_manifests_go_on_under_every_name_and_no_other(
    sqlite_yard: Yard,
) -> None:
    yard, now = sqlite_yard, datetime.now(UTC)
    private, public = keygen()
    key = add_key(yard.workspace, "vendor-a", public, valid_from=now - DAY)
    rename_source(yard.workspace, "vendor-a", "acme", reason="bought")
    signed = make_policy(sources={"require_signature": True})
    for number, (name, under) in enumerate([("acme", "vendor-a"), ("vendor-a", "acme")]):
        path = yard.deliver(f"f{number}", blobs(60, seed=number, prefix=f"f{number}"))
        said = {"collected_from": now - DAY, "collected_to": now, "private_key": private}
        envelope = sign_manifest(path, source=name, **said)  # type: ignore[arg-type]
        batch = stages.receive(yard.workspace, path, under, manifest=envelope, policy=signed)
        for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
            stage(yard.workspace, batch.id, signed)
        assert stages.admit(yard.workspace, batch.id).rows == 60
    envelope = sign_manifest(path, source="vendor-b", **said)  # type: ignore[arg-type]
    with pytest.raises(DeliveryError) as refused:
        stages.receive(yard.workspace, path, "acme", manifest=envelope, policy=signed)
    assert refused.value.code == "other_source"
    assert revoke_key(yard.workspace, "acme", key.key_id, at=now - DAY, reason="x").revoked_at
    from lazaretto.sources.standing import signature_of

    assert signature_of(yard.workspace, batch.id).status is SignatureStatus.REVOKED_KEY


def test_policies_and_incidents_know_it_by_any_name(renamed: Yard, tmp_path: Path) -> None:
    workspace = renamed.workspace
    policy = make_policy(
        sources={
            "require_signature": False,
            "by_source": {"acme": {"review_share": 0.5}},
            "places": [f"{tmp_path}/drop/{{source}}", str(renamed.folder)],
        }
    )
    source = get_source(workspace, "vendor-a")
    assert effective_settings(policy, source.names, source.trust_tier).review_share == 0.5
    folder = tmp_path / "drop/acme-data"
    folder.mkdir(parents=True)
    path = renamed.deliver("thursday", blobs(60, seed=8, prefix="d")).rename(folder / "d.parquet")
    batch = stages.receive(workspace, path, "acme-data", policy=policy, places_required=True)
    incident = open_incident(workspace, Question("source", "acme"), reason="odd")
    assert len(incident.answer.batches) == 3
    assert place_hold(workspace, incident.id, HoldKind.SOURCE, "acme-data", reason="odd")
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(workspace, batch.id, renamed.policy)
    judged = stages.gate(workspace, batch.id, renamed.policy)
    assert judged.verdict is Verdict.HOLD_BATCH


def test_the_command_renames_and_lists_both_names(sqlite_yard: Yard, sqlite_catalog: str) -> None:
    place = ["--catalog", sqlite_catalog, "--store", str(sqlite_yard.workspace.store.root)]
    line = ["source", "rename", "vendor-a", "acme", "--reason", "bought", *place]
    assert CliRunner().invoke(app, line).exit_code == 0
    shown = CliRunner().invoke(app, ["source", "list", *place]).output
    assert "acme (vendor-a)" in shown
    told = json.loads(CliRunner().invoke(app, ["source", "list", *place, "--json"]).stdout)
    assert [(one["name"], one["aliases"]) for one in told] == [
        ("vendor-a", ["acme"]),
        ("vendor-b", []),
    ]
