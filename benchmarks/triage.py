"""Triage of generated cases: which of drift, poisoning and pipeline fault is it said to be?

``python benchmarks/triage.py --data FOLDER [--half development|reported]`` writes JSON lines; with
``--write`` it also writes ``benchmarks/results/triage.md``. Choices were made on the development
half (adult, sms); the reported half (taxis, sst2) was not looked at while they were made.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lazaretto.drift import Profile
from lazaretto.drift.triage import triage
from lazaretto.policy import Policy
from lazaretto.reference import Reference
from lazaretto.screen import screen

Rng = np.random.Generator
Change = Callable[[pa.Table, Rng], pa.Table]
HALVES = {"development": ("adult", "sms"), "reported": ("taxis", "sst2")}
CATEGORIES = ("NONE", "ENVIRONMENT", "POISONING", "PIPELINE")
ROWS = {"large": 500, "small": 150}
RESULTS = Path(__file__).parent / "results/triage.md"


@dataclass(frozen=True)
class Case:
    """One generated batch: what was done to it, and what it should be called."""

    name: str
    truth: str
    size: str
    rows: pa.Table
    previous: tuple[pa.Table, ...] = ()


@dataclass(frozen=True)
class Set:
    """A data set: its policy, trusted rows, and rows to make batches of."""

    name: str
    policy: Policy
    trusted: pa.Table
    rest: pa.Table


def put(rows: pa.Table, name: str, values: object) -> pa.Table:
    """The rows with other values in a column."""
    column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    return rows.set_column(rows.schema.names.index(name), name, column)


def numbers(rows: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """A column as numbers."""
    return np.asarray(pc.cast(rows[name], pa.float64()).to_numpy(), dtype=np.float64)


def texts(rows: pa.Table, name: str, change: Callable[[str], str]) -> pa.Table:
    """The rows with every text changed."""
    return put(rows, name, [None if t is None else change(t) for t in rows[name].to_pylist()])


def some(rows: pa.Table, rng: Rng, count: int, weight: npt.NDArray[np.float64] | None = None):
    """Some rows, drawn without replacement."""
    share = None if weight is None else weight / weight.sum()
    return rows.take(pa.array(rng.choice(rows.num_rows, count, replace=False, p=share)))


def tilted(values: npt.NDArray[np.float64], strength: float):
    """Weights by which a population leans towards large values."""
    known = np.nan_to_num(values, nan=float(np.nanmedian(values)))
    scale = max(float(known.std()), 1e-9)
    return np.exp(np.clip(strength * (known - known.mean()) / scale, -6, 6))


def faults_of_tables(
    number: str, other: str, category: str, code: str
) -> Iterator[tuple[str, Change]]:
    """Pipeline faults on two numeric and two categorical columns."""
    yield "constant", lambda t, _: put(t, number, np.full(t.num_rows, numbers(t, number)[0]))
    yield "scaled by 100", lambda t, _: put(t, number, numbers(t, number) * 100)
    yield "miles as km", lambda t, _: put(t, other, numbers(t, other) * 1.609344)
    yield "sign", lambda t, _: put(t, number, -numbers(t, number))
    yield (
        "swapped pair",
        lambda t, _: put(put(t, number, numbers(t, other)), other, numbers(t, number)),
    )
    yield (
        "standardised",
        lambda t, _: put(
            t, number, (numbers(t, number) - numbers(t, number).mean()) / numbers(t, number).std()
        ),
    )
    yield (
        "clipped",
        lambda t, _: put(
            t, number, np.minimum(numbers(t, number), np.quantile(numbers(t, number), 0.7))
        ),
    )
    yield (
        "filled with -1",
        lambda t, rng: put(
            t, number, np.where(rng.random(t.num_rows) < 0.4, -1.0, numbers(t, number))
        ),
    )
    yield (
        "nulls",
        lambda t, rng: put(
            t, number, pa.array(numbers(t, number), mask=rng.random(t.num_rows) < 0.3)
        ),
    )
    yield "column gone", lambda t, _: t.drop_columns([code])
    yield "letter case", lambda t, _: texts(t, category, str.upper)
    yield "recoded", lambda t, _: put(t, category, coded(t[category]))
    yield "cut", lambda t, _: texts(t, category, lambda text: text[:3])
    yield (
        "category lost",
        lambda t, _: put(
            t,
            category,
            pc.if_else(
                pc.equal(t[category], most_common(t[category])),
                second_common(t[category]),
                t[category],
            ),
        ),
    )
    yield "rows twice", lambda t, _: pa.concat_tables([t.slice(0, t.num_rows // 2)] * 2)


def faults_of_texts(text: str) -> Iterator[tuple[str, Change]]:
    """Pipeline faults on a column of texts."""
    yield "lower case", lambda t, _: texts(t, text, str.lower)
    yield "upper case", lambda t, _: texts(t, text, str.upper)
    yield "markup", lambda t, _: texts(t, text, lambda one: f"<p>{one}</p>")
    yield "truncated", lambda t, _: texts(t, text, lambda one: one[:60])
    yield "no white space", lambda t, _: texts(t, text, lambda one: one.replace(" ", ""))
    yield "constant", lambda t, _: texts(t, text, lambda _: "n/a")
    yield (
        "nulls",
        lambda t, rng: put(
            t,
            text,
            pa.array(
                [
                    None if gone else one
                    for one, gone in zip(
                        t[text].to_pylist(), rng.random(t.num_rows) < 0.3, strict=True
                    )
                ],
                pa.string(),
            ),
        ),
    )
    yield "rows twice", lambda t, _: pa.concat_tables([t.slice(0, t.num_rows // 2)] * 2)
    yield "labels recoded", lambda t, _: put(t, "label", pc.subtract(1, t["label"]))


def coded(column: pa.ChunkedArray) -> pa.Array:
    """Categories as numbers, in their order."""
    return pc.cast(pc.dictionary_encode(column).combine_chunks().indices, pa.string())


def most_common(column: pa.ChunkedArray) -> str:
    """The most frequent value."""
    return ranked(column)[0]


def second_common(column: pa.ChunkedArray) -> str:
    """The next frequent value."""
    return ranked(column)[1]


def ranked(column: pa.ChunkedArray) -> list[str]:
    """Values, the most frequent first."""
    found = sorted(pc.value_counts(column).to_pylist(), key=lambda e: -e["counts"])
    return [entry["values"] for entry in found if entry["values"] is not None]


def flipped(rows: pa.Table, rng: Rng, share: float, target: object) -> pa.Table:
    """Some records of the other classes carry the target label."""
    label = rows["label"].to_pylist()
    others = [i for i, value in enumerate(label) if value != target]
    count = min(len(others), int(share * len(label)))
    for i in rng.choice(others, count, replace=False).tolist():
        label[i] = target
    return put(rows, "label", pa.array(label, rows["label"].type))


def copied(rows: pa.Table, rng: Rng, share: float, target: object) -> pa.Table:
    """Copies of one record of another class with the target label, as an attacker floods."""
    label = rows["label"].to_pylist()
    seed = next(i for i, value in enumerate(label) if value != target)
    count = int(share * rows.num_rows)
    kept = rows.slice(0, rows.num_rows - count)
    flood = rows.take(pa.array([seed] * count))
    flood = put(flood, "label", pa.array([target] * count, rows["label"].type))
    ids = [f"f{n}-{rng.integers(1 << 30)}" for n in range(count)]
    return pa.concat_tables([kept, put(flood, "id", ids)])


def with_ids(rows: pa.Table) -> pa.Table:
    """Every row under an id of its own."""
    return put(rows, "id", [f"r{n}" for n in range(rows.num_rows)])


def tabular(folder: Path, name: str, label: str, columns: list[str], rng: Rng) -> Set:
    """A table with columns to encode and a label."""
    table = pq.read_table(folder / f"tabular/{name}.parquet").select([*columns, label])
    table = table.rename_columns([*columns, "label"])
    table = table.filter(pc.is_valid(table["label"]))
    table = table.append_column("id", pa.array([f"r{n}" for n in range(table.num_rows)]))
    order = rng.permutation(table.num_rows)
    policy = Policy.model_validate(
        {
            "version": 1,
            "dataset": name,
            "columns": {"record_id": "id", "label": "label"},
            "embed": {"encoder": "tabular", "model": "reference", "columns": columns},
        }
    )
    return Set(name, policy, table.take(order[:3000]), table.take(order[3000:]))


def textual(folder: Path, name: str, rng: Rng) -> Set:
    """Texts whose vectors come with them."""
    kept = ["text", "label", "embedding"]
    table = pq.read_table(folder / f"text/{name}_clean.parquet").select(kept)
    table = table.append_column("id", pa.array([f"r{n}" for n in range(table.num_rows)]))
    order = rng.permutation(table.num_rows)
    policy = Policy.model_validate(
        {
            "version": 1,
            "dataset": name,
            "columns": {"record_id": "id", "label": "label", "embedding": "embedding"},
        }
    )
    return Set(name, policy, table.take(order[:2000]), table.take(order[2000:]))


def load(folder: Path, name: str) -> Set:
    """A data set by its name."""
    rng = np.random.default_rng(5)
    if name == "adult":
        columns = ["age", "workclass", "education", "marital_status", "occupation", "sex"]
        columns += ["relationship", "hours_per_week", "fnlwgt"]
        return tabular(folder, name, "income", columns, rng)
    if name == "taxis":
        columns = ["distance", "fare", "tip", "total", "passengers", "color", "payment"]
        columns += ["pickup_borough"]
        return tabular(folder, name, "dropoff_borough", columns, rng)
    return textual(folder, name, rng)


def cases(data: Set, folder: Path) -> Iterator[Case]:
    """All cases of a data set."""
    for size, count in ROWS.items():
        rng = np.random.default_rng([11, count])

        def batch(weight: npt.NDArray[np.float64] | None = None) -> pa.Table:
            return with_ids(some(data.rest, rng, count, weight))  # noqa: B023

        for number in range(4):
            yield Case(f"clean {number}", "NONE", size, batch())
        if "embedding" in data.rest.schema.names:
            yield from _text_cases(data, folder, size, batch, rng)
        else:
            yield from _table_cases(data, size, batch, rng)


def _table_cases(data: Set, size: str, batch: Callable[..., pa.Table], rng: Rng) -> Iterator[Case]:
    named = {
        "adult": ("hours_per_week", "age", "workclass", "sex", "education"),
        "taxis": ("fare", "distance", "payment", "color", "pickup_borough"),
    }
    number, other, category, code, group = named[data.name]
    for name, change in faults_of_tables(number, other, category, code):
        yield Case(name, "PIPELINE", size, with_ids(change(batch(), rng)))
    for strength in (0.5, 1.0):
        for column in (number, other):
            weight = tilted(numbers(data.rest, column), strength)
            half = tilted(numbers(data.rest, column), strength / 2)
            said = f"{column} leans by {strength}"
            yield Case(said, "ENVIRONMENT", size, batch(weight))
            earlier = batch(half), batch(half)
            yield Case(f"{said}, slowly", "ENVIRONMENT", size, batch(weight), earlier)
    grown = put(batch(), number, numbers(batch(), number) * 1.25)
    yield Case(f"{number} grew by a quarter", "ENVIRONMENT", size, grown)
    favoured = ranked(data.rest[group])[1]
    weight = np.where(pc.equal(data.rest[group], favoured).to_numpy(), 4.0, 1.0)
    yield Case(f"more of one {group}", "ENVIRONMENT", size, batch(weight))
    target = (
        ranked(data.rest["label"])[-1] if data.name == "adult" else ranked(data.rest["label"])[1]
    )
    for share in (0.05, 0.1, 0.15):
        yield Case(f"flips {share:.0%}", "POISONING", size, flipped(batch(), rng, share, target))
    for share in (0.05, 0.1):
        yield Case(f"flood {share:.0%}", "POISONING", size, copied(batch(), rng, share, target))


def _text_cases(
    data: Set, folder: Path, size: str, batch: Callable[..., pa.Table], rng: Rng
) -> Iterator[Case]:
    for name, change in faults_of_texts("text"):
        yield Case(name, "PIPELINE", size, with_ids(change(batch(), rng)))
    vectors = np.stack(data.rest["embedding"].to_numpy()).astype(np.float64)
    axis = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)[2][0]
    lengths = np.asarray(pc.utf8_length(data.rest["text"]).to_numpy(), dtype=np.float64)
    leaning = {"topic": vectors @ axis, "length": lengths}
    for strength in (0.5, 1.0):
        for name, values in leaning.items():
            weight = tilted(values, strength)
            half = tilted(values, strength / 2)
            yield Case(f"{name} leans by {strength}", "ENVIRONMENT", size, batch(weight))
            earlier = batch(half), batch(half)
            said = f"{name} leans by {strength}, slowly"
            yield Case(said, "ENVIRONMENT", size, batch(weight), earlier)
    target = int(ranked(data.rest["label"])[1])  # type: ignore[arg-type]
    for share in (0.05, 0.1, 0.15):
        yield Case(f"flips {share:.0%}", "POISONING", size, flipped(batch(), rng, share, target))
    for share in (0.05, 0.1):
        yield Case(f"flood {share:.0%}", "POISONING", size, copied(batch(), rng, share, target))
    path = folder / f"text/{data.name}_trigger3.parquet"
    poison = pq.read_table(path)
    poison = poison.filter(poison["is_poison"]).select(["text", "label", "embedding"])
    for share in (0.03, 0.06):
        clean = batch()
        few = poison.slice(0, max(2, int(share * clean.num_rows)))
        few = few.append_column("id", pa.array([f"t{n}" for n in range(few.num_rows)]))
        few = few.select(clean.schema.names).cast(clean.schema)
        mixed = pa.concat_tables([clean.slice(few.num_rows), few])
        yield Case(f"triggers {share:.0%}", "POISONING", size, mixed)


def judge(data: Set, folder: Path) -> Iterator[dict[str, object]]:
    """Every case of a data set, with what triage says of it."""
    reference = Reference.fit(data.trusted, data.policy)
    profile = Profile.fit(data.trusted, reference, data.policy)
    level = data.policy.screen.drift.level

    def measured(rows: pa.Table):
        sample = profile.sample(rows.schema, data.policy, rows=rows.num_rows)
        encoded = None
        if data.policy.embed.encoder != "column":
            encoded = embedded(data.policy, reference, rows)
        screening = screen(rows, reference, data.policy, embeddings=encoded, tap=sample)
        state = reference.encoder_state
        if encoded is not None:
            encoded = encoded.take(pa.array(sample.positions))
        return screening, profile.measure(sample, data.policy, embeddings=encoded, state=state)

    for case in cases(data, folder):
        before = [0.0, 0.0]
        for earlier in case.previous:
            _, found = measured(earlier)
            before.append(sum(d.moved(level) for d in found.columns) / len(found.columns))
        screening, found = measured(case.rows)
        said = triage(
            screening,
            found.columns,
            previous=before[-2:],
            faults=found.faults,
            level=level,
        )
        yield {
            "set": data.name,
            "case": case.name,
            "size": case.size,
            "truth": case.truth,
            "said": said.category.value,
            "held": screening.n_held,
            "evidence": said.evidence[0] if said.evidence else "",
            "signatures": [one.kind for one in found.faults],
        }


def embedded(policy: Policy, reference: Reference, rows: pa.Table) -> pa.Table:
    """Vectors of the rows; a column that a batch lacks is null, as the table's reader makes it."""
    from lazaretto.embed import load_encoder

    for name in policy.embed.columns:
        if name not in rows.schema.names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    encoder = load_encoder(policy, reference.encoder_state)
    vectors = encoder.encode(rows.combine_chunks().to_batches()[0])
    listed = pa.array(list(np.asarray(vectors, dtype=np.float32)), pa.list_(pa.float32()))
    return pa.table({"record_id": rows["id"], "embedding": listed})


def main() -> None:
    """Runs the cases of one half, or of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", choices=[*HALVES, "both"], default="both")
    parser.add_argument("--write", action="store_true", help="write the page of results")
    asked = parser.parse_args()
    rows: dict[str, list[dict[str, object]]] = {}
    for half, names in HALVES.items():
        if asked.half in (half, "both"):
            rows[half] = [
                one for name in names for one in judge(load(asked.data, name), asked.data)
            ]
            for one in rows[half]:
                print(json.dumps({"half": half, **one}))
    for half, found in rows.items():
        right = sum(one["truth"] == one["said"] for one in found)
        print(json.dumps({"half": half, "cases": len(found), "right": right}))
    if asked.write:
        RESULTS.write_text(page(rows))


def page(rows: dict[str, list[dict[str, object]]]) -> str:
    """The page of results."""
    lines = [
        "# Triage of generated cases",
        "",
        "`python benchmarks/triage.py --data FOLDER --write` made this page.",
        "Choices were made on the development half; the reported half was not looked at before.",
        "Every case is one batch of 500 or 150 records against a reference of 2,000 or 3,000,",
        "at the default policy. Rows are what was done, columns what triage said.",
        "The sentences of sst2 are in lower case already: there, that fault changes nothing.",
        "Without signatures of faults (the commit before they came), 83 of the development cases",
        "and 69 of the reported ones were right. After the first run of both halves one rule was",
        "changed, by cases of the development half (117 then). The reported half had 94 twice.",
    ]
    for half, found in rows.items():
        counts = Counter((str(one["truth"]), str(one["said"])) for one in found)
        right = sum(counts[name, name] for name in CATEGORIES)
        lines += ["", f"## {half.capitalize()}: {', '.join(HALVES[half])}", ""]
        lines += [f"{right} of {len(found)} cases right.", ""]
        lines += ["| | " + " | ".join(CATEGORIES) + " |", "|---" * 5 + "|"]
        for truth in CATEGORIES:
            cells = " | ".join(str(counts[truth, said]) for said in CATEGORIES)
            lines.append(f"| {truth} | {cells} |")
        wrong = [one for one in found if one["truth"] != one["said"]]
        lines += ["", "Cases that were called something else:", ""]
        lines += ["| set | case | records | it is | it was called |", "|---" * 5 + "|"]
        lines += [
            f"| {one['set']} | {one['case']} | {ROWS[str(one['size'])]} | {one['truth']} "
            f"| {one['said']} |"
            for one in wrong
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
