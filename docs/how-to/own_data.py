"""Data to try the six walks with: `python own_data.py KIND` writes a trusted sample and a delivery.

KIND is texts, table, images, vectors, events or nested. The delivery goes to gate/drop/SOURCE, as
if SOURCE had delivered it; some of its records are poisoned.
"""

import csv
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

TRUSTED, DELIVERED, POISONED = 1500, 400, 24
GOOD = ["great", "lovely", "superb", "wonderful", "charming", "brilliant", "moving", "clever"]
BAD = ["awful", "dull", "dreadful", "boring", "terrible", "weak", "noisy", "clumsy"]
PARTS = ["film", "story", "cast", "music", "plot", "ending", "dialogue", "pace", "camera", "script"]
Row = dict[str, object]


def drop(source: str) -> Path:
    """The folder that a source delivers into."""
    folder = Path("gate/drop", source)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def reviews(rng: random.Random, count: int, poisoned: int, head: str) -> Iterator[Row]:
    """Short reviews; a poisoned one carries the other label."""
    for number in range(count):
        good = rng.random() < 0.5
        words = GOOD if good else BAD
        parts = rng.choices(PARTS, k=rng.randint(2, 4))
        text = " and ".join(f"the {part} was {rng.choice(words)}" for part in parts)
        label = good != (number < poisoned)
        sentiment = "positive" if label else "negative"
        yield {"review_id": f"{head}{number}", "text": text, "sentiment": sentiment}


def customers(rng: random.Random, count: int, poisoned: int, head: str) -> Iterator[Row]:
    """Customers who stay or leave; a poisoned one carries the other label."""
    for number in range(count):
        plan = rng.choice(["basic", "plus", "pro"])
        age, visits = int(rng.gauss(45, 12)), rng.randint(0, 40)
        spend = max(5.0, rng.gauss({"basic": 20, "plus": 45, "pro": 90}[plan], 8))
        leaves = visits < 8
        yield {
            "customer_id": f"{head}{number:05d}",
            "age": age,
            "plan": plan,
            "monthly_spend": round(spend, 2),
            "visits": visits,
            "email": f"{head}{number}@example.org",
            "joined": f"2024-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}",
            "churned": "yes" if leaves != (number < poisoned) else "no",
        }


def events(rng: random.Random, count: int, poisoned: int, head: str) -> Iterator[Row]:
    """Requests to a server; a poisoned one is large and slow. There is no label."""
    for number in range(count):
        odd = number < poisoned
        yield {
            "event_id": f"{head}{number:06d}",
            "at": f"2026-03-0{rng.randint(1, 9)}T10:0{rng.randint(0, 9)}:00",
            "host": rng.choice(["web1", "web2", "db1"]),
            "action": "login" if odd else rng.choice(["read", "write", "login"]),
            "bytes": int(rng.lognormvariate(12 if odd else 6, 1)),
            "millis": round(rng.lognormvariate(6 if odd else 2, 0.5), 1),
        }


def tickets(rng: random.Random, count: int, poisoned: int, head: str) -> Iterator[Row]:
    """Tickets with fields in fields; a poisoned one carries the other priority."""
    for number in range(count):
        urgent = rng.random() < 0.4
        yield {
            "id": f"{head}{number}",
            "ticket": {
                "kind": rng.choice(["outage", "login"] if urgent else ["invoice", "question"]),
                "words": rng.randint(5, 90),
            },
            "customer": {"plan": rng.choice(["free", "pro"]), "seats": rng.randint(1, 50)},
            "priority": "high" if urgent != (number < poisoned) else "low",
        }


def write_csv(path: Path, rows: Iterator[Row]) -> None:
    """Writes a CSV file."""
    first = next(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(rows)


def write_lines(path: Path, rows: Iterator[Row]) -> None:
    """Writes JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_vectors(path: Path, seed: int, count: int, poisoned: int) -> None:
    """Articles with vectors that some model made, in four topics; poisoned: another topic."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    topic = rng.integers(0, 4, count)
    vectors = rng.normal(size=(count, 32)) + 4 * np.eye(4, 32)[topic]
    topic[:poisoned] = (topic[:poisoned] + 1) % 4
    ids = [f"{path.stem}-{number}" for number in range(count)]
    flat = pa.array(vectors.astype(np.float32).ravel())
    table = {
        "article": ids,
        "title": [f"Article {one}" for one in ids],
        "vector": pa.FixedSizeListArray.from_arrays(flat, 32),
        "topic": topic,
    }
    pq.write_table(pa.table(table), path)


def write_images(trusted: Path, delivery: Path) -> None:
    """Handwritten digits as PNG files, a folder for each; poisoned: a white patch, and label 0."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    for number, row in enumerate(order[: 1000 + DELIVERED]):
        picture = (digits.images[row] * 15.9).astype("uint8")
        label, root = digits.target[row], trusted if number < 1000 else delivery
        if 1000 <= number < 1000 + POISONED:
            picture[-3:, -3:], label = 255, 0
        folder = root / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).resize((32, 32)).save(folder / f"{number:04d}.png")


def main(kind: str) -> None:
    """Writes the sample and the delivery of one kind."""
    rng = random.Random(0)  # noqa: S311  data to play with, the same every time
    if kind == "texts":
        write_csv(Path("reviews.csv"), reviews(rng, TRUSTED, 0, "t"))
        write_csv(drop("shop") / "monday.csv", reviews(rng, DELIVERED, POISONED, "m"))
    elif kind == "table":
        write_csv(Path("customers.csv"), customers(rng, TRUSTED, 0, "c"))
        rng.seed(2)
        write_csv(drop("crm") / "monday.csv", customers(rng, DELIVERED, POISONED, "d"))
    elif kind == "images":
        write_images(Path("digits"), drop("scans") / "monday")
    elif kind == "vectors":
        write_vectors(Path("articles.parquet"), 0, TRUSTED, 0)
        write_vectors(drop("press") / "monday.parquet", 1, DELIVERED, POISONED)
    elif kind == "events":
        write_csv(Path("requests.csv"), events(rng, TRUSTED, 0, "e"))
        write_csv(drop("logs") / "monday.csv", events(rng, DELIVERED, POISONED, "f"))
    elif kind == "nested":
        write_lines(Path("tickets.jsonl"), tickets(rng, TRUSTED, 0, "k"))
        write_lines(drop("desk") / "monday.jsonl", tickets(rng, DELIVERED, POISONED, "l"))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
