"""The document of `benchmarks/training.py`, from its lines."""

from __future__ import annotations

_HEAD = """# Robust training: what poison that survived still does

Made by `python benchmarks/training.py DATA_DIR --out benchmarks/results/training.md`, which says
what it runs: a network of one hidden layer (64) on 1,200 scikit-learn digits (15 epochs) and on
2,000 MNIST images (5 epochs), batches of 64. Cells are means over the seeds that a heading names,
which draw the rows, the poison and the network anew; *differ*: the most by which the accuracy of
two seeds differs in any column. Nothing is screened: the gate is *told to let through* all poison.
Settings are the papers' defaults, with epsilon, noise and the ramp looked at on digits of seed 100
only; every row below is of another seed or of MNIST. *hostile source*: one vendor of twenty sends
three times its share, every label wrong. *badnets*, *blend*: 5 % of the rows get a patch or faint
noise and label 7; in brackets the attack's success on test rows of other classes. Lines marked
*(torch)* are the library's own loss in the same loop. *CPU*: seconds, mean over the conditions, on
a shared core. `-`: not measured; torchattacks was installed for the first seed of digits and both
of MNIST. SimCLR is of lightly 1.6.0. MNIST of seed 2 was measured later: its figures are averaged
with those of seed 1 as these were printed, with three decimals.
"""

_TEXTS = """## Texts: screening of wrong labels, by encoder

Made by `python benchmarks/training.py DATA_DIR --parts texts`: the rows of the SMS Spam Collection
and of SST-2, poisoned here, through `Reference.fit` and `screen` with the defaults. *trigger*: as
many rows of class 0 as the share says get the words "cf mn bb" and label 1. A quarter of at most
2,400 trusted rows fits `hashing` and `contrastive_text` (128 dimensions each); the other three
quarters are compared with. The supervised network has one hidden layer (64) on the vectors of
`hashing`, and learned the labels of the delivery itself, poison and all. Cells: AUROC of the
score; share of wrong labels that is held / share of right ones. *self_confidence*: this detector
alone; *default*: all detectors that a policy has where it names none. SMS are of the development
half, where temperature, width and the form of the network were chosen (not by these cells, but by
the AUROC of a linear probe and of ten neighbours, on 10 % flips); SST-2 is the reported half, up to
1,200 rows, and no choice was made on it. Means over the seeds.
"""


def report(rows: dict[str, list[dict]]) -> str:
    parts = [_HEAD]
    for name in dict.fromkeys(row["set"].split()[0] for row in rows["recipes"]):
        mine = [row for row in rows["recipes"] if row["set"].split()[0] == name]
        title = f"{name}, {_seeds(mine)}"
        parts.append(f"## {title}: accuracy on clean test rows (attack success)\n")
        parts.append(_recipes(mine))
        parts.append(f"## {title}: accuracy that is certified against k = 1, 2, 3\n")
        parts.append(_certified([row for row in mine if row["certified"]]))
    if rows["sources"]:
        parts.append("## Sources: what no k compromised vendors can change\n")
        parts.append(
            "Each source trains exactly one base model, on clean rows spread over the sources. "
            "*beaten*: (row, try) pairs in which an attacker who sets all answers of k sources' "
            "models, k from 1 to 3 at random, changed a prediction that was certified for k. Means "
            "over the seeds.\n"
        )
        parts.append(_sources(rows["sources"]))
    if rows["attacked"]:
        parts.append("## Adversarial training: accuracy under attack, epsilon 0.1\n")
        parts.append(_attacked(rows["attacked"]))
    if rows["codes"]:
        parts.append("## Representation: AUROC of wrong labels among training rows\n")
        parts.append(
            "By the ten nearest trusted rows: the share of them with another label, and their mean "
            "distance. The encoders without labels saw other trusted rows; the supervised one is "
            "the plain network that was trained on the poisoned labels. Means over the seeds.\n"
        )
        parts.append(_codes(rows["codes"]))
    if rows["texts"]:
        parts.append(_TEXTS)
        parts.append(_texts(rows["texts"]))
    return "\n".join(parts)


def _seeds(rows: list[dict]) -> str:
    seeds = sorted({row["set"].split()[1] for row in rows})
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _by(rows: list[dict], *keys: str) -> dict[tuple, list[dict]]:
    """The rows that differ in their seed alone, in the order in which they came."""
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        key = (row["set"].split()[0], *(row[key] for key in keys))
        found.setdefault(key, []).append(row)
    return found


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in body)]) + "\n"


def _recipes(rows: list[dict]) -> str:
    order = ["clean", "flip 5%", "flip 10%", "flip 20%", "badnets 5%", "blend 5%", "hostile source"]
    there = {row["condition"] for row in rows}
    conditions = [one for one in order if one in there]
    cells = _by(rows, "how", "condition")
    body = []
    for name, how in dict.fromkeys(key[:2] for key in cells):
        line, differ, cpu = [how], [], []
        for condition in conditions:
            mine = cells.get((name, how, condition))
            if mine is None:
                line.append("-")
                continue
            right = [row["accuracy"] for row in mine]
            hit = [row["asr"] for row in mine if row["asr"] is not None]
            line.append(f"{_mean(right):.3f}" + (f" ({_mean(hit):.2f})" if hit else ""))
            differ.append(max(right) - min(right))
            cpu += [row["cpu"] for row in mine]
        one = len({row["set"] for row in rows}) == 1
        body.append([*line, "-" if one else f"{max(differ):.3f}", f"{_mean(cpu):.1f}"])
    return _table(["training", *conditions, "differ", "CPU"], body)


def _certified(rows: list[dict]) -> str:
    body = [
        [how, condition, *(f"{_mean([row['certified'][k] for row in mine]):.3f}" for k in range(3))]
        for (_, how, condition), mine in _by(rows, "how", "condition").items()
    ]
    return _table(["ensemble", "condition", "k = 1", "k = 2", "k = 3"], body)


def _sources(rows: list[dict]) -> str:
    body = [
        [
            f"{name}, {_seeds(mine)}",
            str(sources),
            kind,
            f"{_mean([row['plain'] for row in mine]):.3f}",
            f"{_mean([row['accuracy'] for row in mine]):.3f}",
            *(f"{_mean([row['certified'][k] for row in mine]):.3f}" for k in range(3)),
            f"{sum(r['beaten'] for r in mine)} in {sum(r['tries'] for r in mine):,} tries",
        ]
        for (name, sources, kind), mine in _by(rows, "sources", "kind").items()
    ]
    head = ["set", "sources", "vote", "plain training", "ensemble", "k = 1", "k = 2", "k = 3"]
    return _table([*head, "beaten"], body)


def _attacked(rows: list[dict]) -> str:
    names = list(
        dict.fromkeys(key for row in rows for key in row if key not in ("set", "how", "passes"))
    )
    body = [
        [row["set"], row["how"], f"{row['passes']:.1f}", *(_number(row.get(n)) for n in names)]
        for row in sorted(rows, key=lambda row: row["set"].lower())
    ]
    return _table(["set", "training", "passes", *names], body)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _codes(rows: list[dict]) -> str:
    keys = ("label disagrees", "far from trusted")
    body = [
        [
            f"{name}, {_seeds(mine)}",
            condition,
            how,
            *(f"{_mean([row[key] for row in mine]):.3f}" for key in keys),
        ]
        for (name, condition, how), mine in _by(rows, "condition", "how").items()
    ]
    return _table(["set", "condition", "code", *keys], body)


def _texts(rows: list[dict]) -> str:
    order = list(dict.fromkeys(row["condition"] for row in rows))
    cells = _by(rows, "views", "how", "condition")
    body = []
    for name, views, how in dict.fromkeys(key[:3] for key in cells):
        line = [f"{name}, {_seeds([r for r in rows if r['set'].split()[0] == name])}", views, how]
        for condition in order:
            mine = cells[name, views, how, condition]
            clean = f"{_mean([row['clean held'] for row in mine]):.3f}"
            if mine[0]["auroc"] is None:
                line.append(clean)
                continue
            auroc, caught = (_mean([row[key] for row in mine]) for key in ("auroc", "caught"))
            line.append(f"{auroc:.3f}; {caught:.2f} / {clean}")
        body.append(line)
    return _table(["set", "detectors", "encoder", *order], body)
