"""The document of `benchmarks/training.py`, from its lines."""

from __future__ import annotations

_HEAD = """# Robust training: what poison that survived still does

Made by `python benchmarks/training.py DATA_DIR --out benchmarks/results/training.md`, which says
what it runs: a network of one hidden layer (64) on 1,200 scikit-learn digits (15 epochs) and on
2,000 MNIST images (5 epochs), batches of 64, one seed each unless a set says another. That is a
sample, and differences of one or two points are chance. Nothing is screened: the gate is *told to
let through* all poison. Settings are the papers' defaults, with epsilon, noise and the ramp looked
at on digits of seed 100 only; every row below is of another seed or of MNIST. *hostile source*: one
vendor of twenty sends three times its share, every label wrong. `-`: not measured in this run, for
want of time; `--conditions` measures it. *badnets*, *blend*: 5 % of the rows
get a patch or faint noise and label 7; in brackets the attack's success on test rows of other
classes. Lines marked *(torch)* are the library's own loss in the same loop. *CPU*: seconds, mean
over the conditions, on a shared core.
"""


def report(rows: dict[str, list[dict]]) -> str:
    parts = [_HEAD]
    for name in dict.fromkeys(row["set"] for row in rows["recipes"]):
        mine = [row for row in rows["recipes"] if row["set"] == name]
        parts.append(f"## {name}: accuracy on clean test rows (attack success)\n")
        parts.append(_recipes(mine))
        parts.append(f"## {name}: accuracy that is certified against k = 1, 2, 3\n")
        parts.append(_certified([row for row in mine if row["certified"]]))
    if rows["sources"]:
        parts.append("## Sources: what no k compromised vendors can change\n")
        parts.append(
            "Each source trains exactly one base model, on clean rows spread over the sources. "
            "*beaten*: (row, try) pairs in which an attacker who sets all answers of k sources' "
            "models, k from 1 to 3 at random, changed a prediction that was certified for k.\n"
        )
        parts.append(_sources(rows["sources"]))
    if rows["attacked"]:
        parts.append("## Adversarial training: accuracy under attack, epsilon 0.1\n")
        parts.append(_attacked(rows["attacked"]))
    if rows["codes"]:
        parts.append("## Representation: AUROC of wrong labels among training rows\n")
        parts.append(
            "By the ten nearest trusted rows: the share of them with another label, and their mean "
            "distance. The denoising encoder saw other trusted rows, without labels; the other one "
            "is the plain network that was trained on the poisoned labels.\n"
        )
        parts.append(_codes(rows["codes"]))
    return "\n".join(parts)


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in body)]) + "\n"


def _recipes(rows: list[dict]) -> str:
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    body = []
    for how in dict.fromkeys(row["how"] for row in rows):
        mine = {row["condition"]: row for row in rows if row["how"] == how}
        cells = [how]
        for condition in conditions:
            row = mine.get(condition)
            if row is None:
                cells.append("-")
                continue
            success = "" if row["asr"] is None else f" ({row['asr']:.2f})"
            cells.append(f"{row['accuracy']:.3f}{success}")
        cells.append(f"{sum(row['cpu'] for row in mine.values()) / len(mine):.1f}")
        body.append(cells)
    return _table(["training", *conditions, "CPU"], body)


def _certified(rows: list[dict]) -> str:
    body = [
        [row["how"], row["condition"], *(f"{one:.3f}" for one in row["certified"])] for row in rows
    ]
    return _table(["ensemble", "condition", "k = 1", "k = 2", "k = 3"], body)


def _sources(rows: list[dict]) -> str:
    body = [
        [
            row["set"],
            str(row["sources"]),
            row["kind"],
            f"{row['plain']:.3f}",
            f"{row['accuracy']:.3f}",
            *(f"{one:.3f}" for one in row["certified"]),
            f"{row['beaten']} in {row['tries']:,} tries",
        ]
        for row in rows
    ]
    head = ["set", "sources", "vote", "plain training", "ensemble", "k = 1", "k = 2", "k = 3"]
    return _table([*head, "beaten"], body)


def _attacked(rows: list[dict]) -> str:
    names = [key for key in rows[0] if key not in ("set", "how", "passes")]
    body = [
        [row["set"], row["how"], f"{row['passes']:.1f}", *(f"{row[name]:.3f}" for name in names)]
        for row in rows
    ]
    return _table(["set", "training", "passes", *names], body)


def _codes(rows: list[dict]) -> str:
    keys = ("label disagrees", "far from trusted")
    body = [
        [row["set"], row["condition"], row["how"], *(f"{row[key]:.3f}" for key in keys)]
        for row in rows
    ]
    return _table(["set", "condition", "code", *keys], body)
