"""The model card: what a bill of materials says of a model version, for people to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PREFIX = "lazaretto:"
_MOST_ROWS = 500
_UNSAID = (
    "What the model is meant for, and what it must not be used for: nobody asks for that here.",
    "Whether the figures hold on other data than the test set that is named.",
    "Whether what was delivered is true: a signature says who sent it.",
)
"""What no entry of the ledger tells, so that the card cannot tell it either."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a card: sentences, and a table.

    Attributes:
        title: its heading.
        says: sentences.
        head: names of the table's columns; empty: there is no table.
        rows: of the table, as text.
    """

    title: str
    says: list[str]
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A model card.

    Attributes:
        model: ``NAME@VERSION``.
        complete: whether all that the model was made of is known.
        bom: serial number of the bill of materials with the same facts.
        parts: what it says, in order.
    """

    model: str
    complete: bool
    bom: str
    parts: list[Part]


def model_card(bom: Mapping[str, Any]) -> Card:
    """Makes the card of a model version out of its bill of materials, and of nothing else.

    Args:
        bom: from `lazaretto.lineage.model_bom`.

    Examples:
        >>> from lazaretto.lineage import model_bom
        >>> card = model_card(model_bom(workspace, "net", "1"))
        >>> card.model, [part.title for part in card.parts][:2]
        ('net@1', ['In short', 'What it was measured at'])
    """
    component = bom["metadata"]["component"]
    ledger, told = _told(bom["metadata"]), _told(component)
    name = f"{component['name']}@{component['version']}"
    complete = ledger.get("complete") == ["yes"]
    parts = [
        _short(bom, name, component, told, ledger),
        _measured(component, told),
        _learned(bom["components"]),
        _delivered(bom["components"]),
        _against(told, ledger, bom["components"], complete=complete),
        Part("What this card cannot say", list(_UNSAID)),
    ]
    return Card(name, complete, bom["serialNumber"], parts)


def _short(
    bom: Mapping[str, Any],
    name: str,
    component: Mapping[str, Any],
    told: Mapping[str, list[str]],
    ledger: Mapping[str, list[str]],
) -> Part:
    rows = [
        ("Model", name),
        ("Registry", _one(told, "model:registry")),
        ("Stands for it", ", ".join(told.get("alias", ())) or "no name"),
        ("Trained for", _one(told, "training:purpose")),
        ("Run", _one(told, "training:run")),
        ("Seed", _one(told, "training:seed")),
        *(
            (f"Parameter {key.removeprefix('training:param:')}", ", ".join(values))
            for key, values in told.items()
            if key.startswith("training:param:")
        ),
        ("Weights", _one(told, "model:artifact")),
        ("sha256 of the weights", ", ".join(_hashes(component)) or "not known"),
        ("As of", f"{bom['metadata']['timestamp']}, ledger entry {_one(ledger, 'ledger:entry')}"),
    ]
    return Part("In short", [], ("what", "value"), tuple(rows))


def _measured(component: Mapping[str, Any], told: Mapping[str, list[str]]) -> Part:
    analysis = component.get("modelCard", {}).get("quantitativeAnalysis", {})
    figures = analysis.get("performanceMetrics", [])
    title = "What it was measured at"
    if not figures:
        return Part(title, ["No evaluation is on record."])
    signed = "signed" if told.get("evaluation:signed") == ["yes"] else "not signed"
    says = (
        f"By {_one(told, 'evaluation:how')}, on {_one(told, 'evaluation:rows')} rows of the test "
        f"set {_one(told, 'evaluation:test-set')}. The report is {signed}: ledger entry "
        f"{_one(told, 'evaluation:entry')}."
    )
    rows = tuple((one["type"].replace("_", " "), _figure(one["value"])) for one in figures)
    return Part(title, [says], ("figure", "value"), rows)


def _learned(components: Sequence[Mapping[str, Any]]) -> Part:
    rows = []
    for one in components:
        kind, told = one["bom-ref"].partition(":")[0], _told(one)
        if kind == "batch":
            continue
        rows.append(
            (
                {"dataset": "snapshot"}.get(kind, kind),
                one["name"],
                one.get("version", "not known"),
                _one(told, "role", ""),
                _one(told, "records", ""),
                _one(told, "snapshot:digest", "") or ", ".join(_hashes(one)),
            )
        )
    head = ("kind", "name", "version", "role", "records", "digest")
    return Part("What it learned from", _cut(rows), head, tuple(rows[:_MOST_ROWS]))


def _delivered(components: Sequence[Mapping[str, Any]]) -> Part:
    """Batches by who sent them: a card is read by people, the bill has each of them."""
    sums: dict[str, dict[str, Any]] = {}
    for one in components:
        if one["bom-ref"].partition(":")[0] != "batch":
            continue
        told, source = _told(one), one.get("supplier", {}).get("name", "not known")
        mine = sums.setdefault(source, {"batches": 0, "used": 0, "recalled": 0, "how": set()})
        mine["batches"] += 1
        for key, name in (("used", "records:used"), ("recalled", "records:recalled")):
            mine[key] += sum(int(value) for value in told.get(name, ()) if value.isdecimal())
        mine["how"].update(told.get("signature:status", ()))
        mine["how"].update(f"tier {tier}" for tier in told.get("source:trust-tier", ()))
    rows = [
        (source, *(f"{each[key]:,}" for key in ("batches", "used", "recalled")), how)
        for source, each in sorted(sums.items())
        for how in [", ".join(sorted(each["how"]))]
    ]
    head = ("source", "batches", "records used", "records recalled", "signatures and trust")
    return Part("Who delivered it", _cut(rows), head, tuple(rows[:_MOST_ROWS]))


def _against(
    told: Mapping[str, list[str]],
    ledger: Mapping[str, list[str]],
    components: Iterable[Mapping[str, Any]],
    *,
    complete: bool,
) -> Part:
    recalls = told.get("recall-of-what-it-learned", [])
    claimed = [one["name"] for one in components if "claimed" in _told(one)]
    says = []
    if recalls:
        says.append(f"Records that it learned from were recalled: {', '.join(recalls)}.")
    if claimed:
        says.append(f"Only events of other tools tell of: {', '.join(claimed[:20])}.")
    says.append(
        "All that it was made of is on record."
        if complete
        else "NOT COMPLETE: it cannot be said what else it was made of."
    )
    return Part("What is known against it", [*says, *ledger.get("caveat", ())])


def _told(component: Mapping[str, Any]) -> dict[str, list[str]]:
    """Properties by their names; several may have one name."""
    found: dict[str, list[str]] = {}
    for one in component.get("properties", ()):
        found.setdefault(one["name"].removeprefix(_PREFIX), []).append(one["value"])
    return found


def _one(told: Mapping[str, list[str]], name: str, otherwise: str = "not known") -> str:
    return ", ".join(told[name]) if told.get(name) else otherwise


def _hashes(component: Mapping[str, Any]) -> list[str]:
    return [one["content"] for one in component.get("hashes", ())]


def _figure(value: str) -> str:
    return f"{float(value):.4g}"


def _cut(rows: Sequence[object]) -> list[str]:
    left = len(rows) - _MOST_ROWS
    return [f"{left:,} more rows are in the bill of materials."] if left > 0 else []
