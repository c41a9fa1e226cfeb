"""The demo's week: three vendors, one compromised, and three deliveries that must not get in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lazaretto.demo.digits import BRIGHTEST, PIXELS, Records, poison
from lazaretto.demo.pictures import draw
from lazaretto.sources.manifest import keygen, sign_manifest

if TYPE_CHECKING:
    from pathlib import Path

VENDORS = ("vendor-a", "vendor-b", "vendor-c")
DAYS = 5
COMPROMISED = "vendor-c"
COMPROMISED_DAYS = (3, 4)
POISON_SHARE = 0.3
TRAIN_AFTER_DAYS = (2, 4, 5)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery as the demo makes it, with the truth about it that the product never sees.

    Attributes:
        id: short name in the summary, such as ``vendor-c-day3``.
        source: who it claims to come from.
        day: 1 to `DAYS`.
        uri: the Parquet file.
        manifest: the signed manifest.
        records: what is in it; empty where the file does not hold readable digits.
        rows: number of rows of the file.
    """

    id: str
    source: str
    day: int
    uri: Path
    manifest: Path
    records: Records
    rows: int


@dataclass(frozen=True, slots=True)
class Week:
    """Everything that happens, in order, and the vendors' public keys."""

    deliveries: tuple[Delivery, ...]
    public_keys: dict[str, bytes]
    since: datetime
    until: datetime


def make_week(folder: Path, delivered: Records, *, seed: int, today: datetime) -> Week:
    """Writes and signs all deliveries.

    Args:
        folder: where the vendors' files go.
        delivered: the clean records that the vendors share out.
        seed: of the sharing and of the attacks.
        today: midnight (UTC) of the day after the last delivery day.
    """
    rng = np.random.default_rng([seed, 1])
    keys = {vendor: keygen() for vendor in VENDORS}
    first_day = today - timedelta(days=DAYS)
    parts = iter(np.array_split(rng.permutation(len(delivered)), DAYS * len(VENDORS) + 2))

    def deliver(
        name: str, source: str, day: int, table: pa.Table, records: Records, key: bytes
    ) -> Delivery:
        path = folder / name / "digits.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)
        start = first_day + timedelta(days=day - 1)
        manifest = path.with_name("manifest.dsse.json")
        manifest.write_bytes(
            sign_manifest(
                str(path),
                source=source,
                private_key=key,
                collected_from=start,
                collected_to=start + timedelta(days=1),
            )
        )
        return Delivery(name, source, day, path, manifest, records, table.num_rows)

    deliveries: list[Delivery] = []
    for day in range(1, DAYS + 1):
        for vendor in VENDORS:
            records = delivered.take(next(parts))
            if vendor == COMPROMISED and day in COMPROMISED_DAYS:
                records = poison(records, POISON_SHARE, rng)
            name = f"{vendor}-day{day}"
            deliveries.append(
                deliver(name, vendor, day, to_table(records), records, keys[vendor][0])
            )
        if day == 3:
            original = deliveries[1]
            deliveries.append(_replay(folder, original, day))
        if day == 4:
            broken = delivered.take(next(parts))
            table = break_contract(broken, rng)
            deliveries.append(
                deliver(
                    "vendor-b-broken",
                    "vendor-b",
                    day,
                    table,
                    broken.take(np.arange(0)),
                    keys["vendor-b"][0],
                )
            )
            forged = poison(delivered.take(next(parts)), POISON_SHARE, rng)
            stranger, _ = keygen()
            deliveries.append(
                deliver("vendor-a-forged", "vendor-a", day, to_table(forged), forged, stranger)
            )
    return Week(
        deliveries=tuple(deliveries),
        public_keys={vendor: public for vendor, (_, public) in keys.items()},
        since=first_day + timedelta(days=COMPROMISED_DAYS[0] - 1),
        until=first_day + timedelta(days=COMPROMISED_DAYS[-1]),
    )


def to_table(records: Records) -> pa.Table:
    """The records as a vendor would deliver them: id, label, 64 pixels, and the picture as PNG."""
    pixels = pa.FixedSizeListArray.from_arrays(pa.array(records.pixels.ravel()), PIXELS)
    pictures = pa.array([draw(one) for one in records.pixels], pa.binary())
    columns = {"id": records.ids.tolist(), "label": records.labels, "pixels": pixels}
    return pa.table({**columns, "picture": pictures})


def break_contract(records: Records, rng: np.random.Generator) -> pa.Table:
    """A vendor's bad day: labels as text, some pixels out of range, some ids twice."""
    pixels = records.pixels.copy()
    bright = rng.choice(len(records), size=5, replace=False)
    pixels[bright, rng.integers(PIXELS, size=5)] = 16 * BRIGHTEST
    table = to_table(Records(records.ids, pixels, records.labels, records.poisoned))
    ids = records.ids.copy()
    ids[:3] = ids[3:6]
    table = table.set_column(0, "id", pa.array(ids.tolist()))
    return table.set_column(1, "label", pa.array([str(label) for label in records.labels]))


def midnight() -> datetime:
    """The last midnight, UTC: the end of the demo's last day."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _replay(folder: Path, original: Delivery, day: int) -> Delivery:
    path = folder / "vendor-b-replay" / original.uri.name
    path.parent.mkdir(parents=True)
    path.write_bytes(original.uri.read_bytes())
    manifest = path.with_name(original.manifest.name)
    manifest.write_bytes(original.manifest.read_bytes())
    return Delivery(
        "vendor-b-replay", original.source, day, path, manifest, original.records, original.rows
    )
