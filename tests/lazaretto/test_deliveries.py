"""Refused deliveries are where a person looks for them: the list, and the trace of a source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.errors import DeliveryError, NotFoundError, UsageError
from lazaretto.lineage import to_html, trace_source
from lazaretto.sources.refused import refused_deliveries
from lazaretto.sources.registry import add_source
from lazaretto.stages.deliveries import Wanted, list_deliveries
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.alike


def refuse(yard: Yard, folder: Path, name: str, source: str = "vendor-a") -> str:
    """Delivers what is no Parquet file; the code of the refusal."""
    file = folder / f"{name}.parquet"
    file.write_bytes(b"no parquet")
    with pytest.raises(DeliveryError) as refused:
        stages.receive(yard.workspace, file, source, policy=yard.policy)
    return str(refused.value.code)


def listed(yard: Yard, **wanted: Any) -> list[str]:
    page = list_deliveries(yard.workspace, Wanted(**wanted))
    return [row["id"] or f"{row['refused']['code']} {row['source']}" for row in page.rows]


def test_batches_and_refusals_are_one_list_newest_first(yard: Yard, tmp_path: Path) -> None:
    first = yard.judge("one", blobs(60, 5)).batch
    code = refuse(yard, tmp_path, "broken")
    refuse(yard, tmp_path, "foreign", "nobody")
    second = yard.judge("two", blobs(60, 6, prefix="x-")).batch
    pq.write_table(blobs(40, 7, prefix="y-"), tmp_path / "three.parquet")
    third = stages.receive(
        yard.workspace, tmp_path / "three.parquet", first.split("/")[0], policy=yard.policy
    ).id
    own = first.split("/")[0]
    everything = [third, second, "unknown_source nobody", f"{code} vendor-a", first]
    assert listed(yard) == everything
    assert listed(yard, source="nobody") == ["unknown_source nobody"]
    assert listed(yard, verdict="REFUSED") == everything[2:4]
    assert listed(yard, verdict="UNJUDGED") == [third]
    assert listed(yard, verdict="PASS") + listed(yard, verdict="HOLD_RECORDS") != []
    assert listed(yard, dataset=yard.policy.dataset) == [second, first]
    assert listed(yard, source=own, dataset="others") == []
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert listed(yard, until=soon) == everything
    assert listed(yard, since=soon) == []
    pages, after = [], None
    while True:
        page = list_deliveries(yard.workspace, Wanted(), limit=2, after=after)
        pages += [row["id"] or f"{row['refused']['code']} {row['source']}" for row in page.rows]
        if not page.more:
            break
        after = page.rows[-1]["id"] or str(page.rows[-1]["seq"])
    assert pages == everything


def test_a_refusal_says_why_and_names_its_ledger_entry(sqlite_yard: Yard, tmp_path: Path) -> None:
    refuse(sqlite_yard, tmp_path, "broken")
    (row,) = list_deliveries(sqlite_yard.workspace, Wanted()).rows
    with sqlite_yard.workspace.catalog.read() as connection:
        (refusal,) = refused_deliveries(connection)
    assert (row["verdict"], row["rows"], row["seq"]) == ("REFUSED", None, refusal.seq)
    assert row["refused"]["reason"] == refusal.reason
    assert row["refused"]["uri"].endswith("broken.parquet")


@pytest.mark.parametrize("after", ["1", "999999999", "9" * 30, "vendor-a/0", "-1", "x"])
def test_a_page_behind_what_is_no_delivery_is_an_error(sqlite_yard: Yard, after: str) -> None:
    with pytest.raises(NotFoundError):
        list_deliveries(sqlite_yard.workspace, Wanted(), after=after)


def test_a_verdict_that_is_none_is_an_error(sqlite_yard: Yard) -> None:
    with pytest.raises(UsageError, match="REFUSED"):
        list_deliveries(sqlite_yard.workspace, Wanted(verdict="REJECTED"))


def test_a_trace_lists_what_was_refused_in_its_window(yard: Yard, tmp_path: Path) -> None:
    add_source(yard.workspace, "quiet", trust_tier=TrustTier.REVIEWED)
    code = refuse(yard, tmp_path, "broken", "quiet")
    refuse(yard, tmp_path, "foreign", "nobody")
    trace = trace_source(yard.workspace, "quiet")
    (refused,) = trace.refused
    assert (refused.code, refused.uri.endswith("broken.parquet")) == (code, True)
    assert trace.to_json()["refused"][0]["seq"] == refused.seq
    assert "Refused deliveries" in to_html(trace)
    assert code in to_html(trace)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert trace_source(yard.workspace, "quiet", since=soon).refused == []
    assert len(trace_source(yard.workspace, "quiet", until=soon).refused) == 1
    assert "Refused" not in to_html(trace_source(yard.workspace, "quiet", since=soon))
