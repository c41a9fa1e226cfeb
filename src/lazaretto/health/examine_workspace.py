"""The doctor's look at a workspace: catalog, store, clock, keys, cases, lineage, policies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.policies import policies_in_force, policy_in_force
from lazaretto.health.examined import about, failure, ok, warning
from lazaretto.ledger.chain import head
from lazaretto.ledger.clock import USUAL
from lazaretto.lineage.cursors import cursor
from lazaretto.lineage.openlineage.emit import CURSOR, switched_off
from lazaretto.sources.registry import list_sources
from lazaretto.storage import tables
from lazaretto.storage.identity import MARK, compare, workspace_id
from lazaretto.storage.object_stores import answers_ranges, is_untried, keeps_the_first
from lazaretto.storage.store import Store
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazaretto.health.examined import Line
    from lazaretto.sources.recorded import Source
    from lazaretto.storage.workspace import Workspace

SOON = timedelta(days=30)
"""How long before its end a key is spoken of."""
WAITS = timedelta(hours=1)
"""How long an entry may wait to be sent."""
_APART = timedelta(seconds=5)
"""How far the clocks of this machine and of the database may be apart."""


def catalog(workspace: Workspace) -> Iterator[Line]:
    """Identity and schema of the catalog that was opened."""
    with workspace.catalog.read() as connection:
        count = head(connection)
    place = f"{workspace.catalog.display_url}, schema {workspace.catalog.version()}"
    identity = workspace_id(workspace.catalog)
    yield ok("catalog", f"{place}, workspace {identity}, {count} ledger entries")


def looks(workspace: Workspace, now: datetime) -> dict[str, Callable[[], Iterator[Line]]]:
    """Everything else that is looked at, by its subject."""
    return {
        "store": partial(store, workspace),
        "clock": partial(clock, workspace, now),
        "keys": partial(keys, workspace, now),
        "cases": partial(cases, workspace, now),
        "lineage": partial(lineage, workspace, now),
        "policies": partial(policies, workspace),
    }


def store(workspace: Workspace) -> Iterator[Line]:
    """Whether the store is there, is this catalog's, and keeps the commits of two writers apart."""
    root = workspace.store.root
    if is_untried(root):
        todo = "try a whole delivery in a test bucket first"
        yield warning("store", f"{root}: no test of Lazaretto has run on such a store", todo)
    if not compare(workspace.catalog, workspace.store):
        yield ok("store", f"{root}, nothing in it yet")
        return
    mark = Store.at(root).read_unverified(MARK, 4096)
    if keeps_the_first(root, MARK, mark) is False:
        found = (
            f"{root}: it ignores If-None-Match, so two writers may overwrite each other's commit"
        )
        todo = "use a server that honours it, or let one task at a time admit to a dataset (a pool)"
        yield warning("store", found, todo)
    if answers_ranges(root, MARK) is False:
        found = (
            f"{root}: it answers 200 instead of 206 where a part of a file is asked for, so Delta "
            "opens no table of it any more that has a checkpoint, which Delta writes every 100 "
            "versions"
        )
        yield warning("store", found, "use a server that answers as S3 does")
    yield ok("store", f"{root}, of this workspace")


def clock(workspace: Workspace, now: datetime) -> Iterator[Line]:
    """This machine's clock against the ledger's last entry, and against the database's clock."""
    newest = sa.select(tables.ledger.c.at).order_by(tables.ledger.c.seq.desc()).limit(1)
    with workspace.catalog.read() as connection:
        last = connection.scalar(newest)
        before = datetime.now(UTC)
        theirs = None
        if connection.dialect.name == "postgresql":
            theirs = connection.scalar(sa.func.clock_timestamp().select())
        after = datetime.now(UTC)
    todo = "let all machines that write take the time from one server (NTP)"
    behind = timedelta(0) if last is None else datetime.fromisoformat(last) - now
    if behind > USUAL:
        found = f"it is {about(behind)} before the time of the ledger's last entry, {last}"
        yield failure("clock", found, f"correct this clock, or the one that was ahead; {todo}")
        return
    if theirs is not None:
        apart = max(before - theirs, theirs - after)
        if apart > _APART:
            found = f"it and the database's clock are {about(apart)} apart"
            yield warning("clock", found, todo)
            return
    agrees = "" if theirs is None else ", and agrees with the database's"
    when = "the ledger is empty" if last is None else f"after the ledger's last entry, {last[:19]}Z"
    yield ok("clock", f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}: {when}{agrees}")


def keys(workspace: Workspace, now: datetime) -> Iterator[Line]:
    """Sources whose last valid key ended, or ends soon."""
    sources = [one for one in list_sources(workspace) if one.trust_tier is not TrustTier.REVOKED]
    well = True
    for source in sources:
        ends = _ends(source)
        if ends is None or ends - now > SOON:
            continue
        well = False
        todo = f"ask {source.name} for a new key, then `lazaretto source add {source.name} --key`"
        if ends <= now:
            found = f"the last key of {source.name} ended {about(now - ends)} ago"
        else:
            found = f"the last key of {source.name} ends in {about(ends - now)}"
        yield warning("keys", found, todo)
    if well:
        signing = sum(bool(source.keys) for source in sources)
        yield ok("keys", f"{signing} of {len(sources)} sources have keys; none ends within 30 days")


def _ends(source: Source) -> datetime | None:
    """When no key of a source is accepted any more; None: there is no end, or there are no keys."""
    ends = [
        min(moment for moment in (key.valid_to, key.revoked_at) if moment is not None)
        if key.valid_to or key.revoked_at
        else None
        for key in source.keys
    ]
    if not ends or None in ends:
        return None
    return max(moment for moment in ends if moment is not None)


def cases(workspace: Workspace, now: datetime) -> Iterator[Line]:
    """Open cases and their age, against the days after which their records are rejected."""
    case = tables.case.c
    query = (
        sa.select(case.dataset, sa.func.count(), sa.func.min(case.opened_at))
        .where(case.state == "OPEN")
        .group_by(case.dataset)
        .order_by(case.dataset)
    )
    with workspace.catalog.read() as connection:
        rows = connection.execute(query).all()
        days = {}
        for dataset, *_ in rows:
            found = policy_in_force(connection, dataset)
            days[dataset] = None if found is None else found.rules.review.expire_days
    if not rows:
        yield ok("cases", "none is open")
    for dataset, count, oldest in rows:
        age, most = now - oldest, days[dataset]
        told = f"{count} open for {dataset}, the oldest for {about(age)}"
        if most is not None and age > timedelta(days=most):
            todo = "review them, or run `lazaretto quarantine expire` daily"
            yield warning("cases", f"{told}; undecided records expire after {most} days", todo)
        else:
            yield ok("cases", told)


def lineage(workspace: Workspace, now: datetime) -> Iterator[Line]:
    """Ledger entries that the OpenLineage backend has not seen."""
    ledger = tables.ledger.c
    with workspace.catalog.read() as connection:
        sent = cursor(connection, CURSOR)
        waiting = head(connection) - sent
        query = sa.select(ledger.at).where(ledger.seq > sent).order_by(ledger.seq).limit(1)
        first = connection.scalar(query)
    if not waiting or first is None:
        yield ok("lineage", "all ledger entries were sent as OpenLineage events")
        return
    age = now - datetime.fromisoformat(first)
    found = f"{waiting} ledger entries are not sent yet, the oldest for {about(age)}"
    if switched_off():
        yield ok("lineage", f"{found}: OPENLINEAGE_DISABLED is set")
    elif age > WAITS:
        yield warning("lineage", found, "run `lazaretto lineage flush`, which says what stops it")
    else:
        yield ok("lineage", found)


def policies(workspace: Workspace) -> Iterator[Line]:
    """The policy in force for each dataset."""
    with workspace.catalog.read() as connection:
        found = policies_in_force(connection)
    if not found:
        yield ok("policies", "none is in force yet: the first gate of a dataset puts its own there")
    for one in found:
        file = one.event.policy.path or "no file"
        since = f"since {one.at:%Y-%m-%d %H:%M}Z, by {one.actor.id}"
        yield ok("policies", f"{one.dataset}: {one.meaning[:12]} ({file}), {since}")
