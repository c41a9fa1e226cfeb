"""Triage of a batch: drift, poisoning or a pipeline fault? It informs and never releases."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from lazaretto.drift.faults import told
from lazaretto.text import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.drift import ColumnDrift
    from lazaretto.drift.faults import Fault
    from lazaretto.screen import Screening

MANY_COLUMNS = 0.6
"""Share of columns that drift in one step, from which a fault of the pipeline is likely: fewer move
with the population, because columns depend on each other."""
LOCALISED = 0.5
"""Share of the held records in one class from which they count as localised."""
BROAD_DRIFT = 0.5
"""Share of drifted columns from which the whole population has moved."""
LIKELY = 0.3
"""Least evidence by which a batch is called anything."""
SIGNED = 0.95
"""How much a signature of a fault counts."""
MOST_CHARACTERS = 80
_LOCAL_TESTS = (
    ("near_duplicates", 0.85, "groups of near copies that no trusted record resembles"),
    (
        "small_p_values",
        0.5,
        "more extreme records than chance explains, even without the held records",
    ),
    ("group_excess", 0.6, "a group of records is odder than its classes explain"),
    ("neighbourhood", 0.5, "odd records lie together where no trusted ones do"),
    ("source_neighbourhood", 0.6, "odd records of several batches of the source lie together"),
    ("class_excess", 0.5, "a class has more odd records than its trusted ones explain"),
    ("apart_excess", 0.4, "one view by itself finds too many odd records"),
    ("class_spread", 0.5, "the records of a class spread differently from the trusted ones"),
)


class TriageCategory(StrEnum):
    """What most likely happened to a batch."""

    NONE = "NONE"
    ENVIRONMENT = "ENVIRONMENT"
    POISONING = "POISONING"
    PIPELINE = "PIPELINE"


@dataclass(frozen=True, slots=True)
class Triage:
    """A guess for the reviewer, never a decision.

    Attributes:
        category: the likeliest.
        scores: evidence for each category, 0 to 1.
        evidence: the facts behind it, one sentence each, most telling first.
    """

    category: TriageCategory
    scores: dict[TriageCategory, float]
    evidence: tuple[str, ...]


def triage(
    screening: Screening,
    drift: Sequence[ColumnDrift],
    *,
    previous: Sequence[float] = (),
    golden_mismatch: float | None = None,
    faults: Sequence[Fault] = (),
    deployed: str | None = None,
    level: float = 0.01,
) -> Triage:
    """Weighs what was found.

    * Pipeline fault: columns or rows have the signature of a fault; nulls appeared; most columns
      moved at once, in one step from the batch before; or the golden set, encoded again, no longer
      gives the stored vectors.
    * Poisoning: held records are concentrated (one class, groups of copies) while the rest of the
      batch is like the reference.
    * Environment: the whole population moved, and the batches before had begun to.

    Args:
        screening: of the batch.
        drift: of the batch's columns (and embedding) against the reference.
        previous: share of columns that had moved in the source's batches before, oldest first.
        golden_mismatch: share of the golden set whose vectors changed; None: not replayed.
        faults: faults that its columns and rows look like, the surest first.
        deployed: what of the code changed since the batch before; None: nothing known.
        level: of adjusted p-values, for a column to count as drifted.
    """
    said: list[tuple[float, str]] = []
    moved = [d for d in drift if d.moved(level)]
    share = len(moved) / len(drift) if drift else 0.0
    before = list(previous)
    scores = {
        TriageCategory.PIPELINE: _pipeline(
            drift, share, before, golden_mismatch, faults, level, said
        ),
        TriageCategory.POISONING: _poisoning(screening, share, said),
        TriageCategory.ENVIRONMENT: _environment(moved, share, before, said),
    }
    if deployed is not None:
        # By itself no reason: most deploys break nothing. Beside a fault it says where to look.
        said.append((scores[TriageCategory.PIPELINE] - 0.01 if moved else 0.1, deployed))
        if scores[TriageCategory.PIPELINE] >= LIKELY:
            scores[TriageCategory.PIPELINE] = min(1.0, scores[TriageCategory.PIPELINE] + 0.05)
    best = max(scores, key=lambda category: scores[category])
    category = best if scores[best] >= LIKELY else TriageCategory.NONE
    scores[TriageCategory.NONE] = 1 - max(scores.values())
    ordered = tuple(text for _, text in sorted(said, key=lambda item: -item[0]))
    return Triage(category, scores, ordered)


def _pipeline(
    drift: Sequence[ColumnDrift],
    share: float,
    before: list[float],
    golden_mismatch: float | None,
    faults: Sequence[Fault],
    level: float,
    said: list[tuple[float, str]],
) -> float:
    score = 0.0
    if golden_mismatch:
        score = 1.0
        said.append((1.0, f"{golden_mismatch:.0%} of the golden set now gives other vectors"))
    for one in faults:
        score = max(score, SIGNED)
        if one.kind != "nulls":
            said.append((SIGNED, told(one)))
    nulls = [d for d in drift if d.lost(level)]
    if nulls:
        score = max(score, 0.9)
        names = ", ".join(_shown(d.column) for d in nulls[:3])
        said.append((0.9, f"nulls appeared in {len(nulls)} columns ({names})"))
    step = share - (before[-1] if before else 0.0)
    if before and share >= MANY_COLUMNS and step >= MANY_COLUMNS:
        score = max(score, 0.5 + step / 2)
        said.append(
            (
                score,
                f"{share:.0%} of the columns moved at once (the batch before: {before[-1]:.0%})",
            )
        )
    return score


def _poisoning(screening: Screening, share: float, said: list[tuple[float, str]]) -> float:
    held = screening.records.filter(screening.records["held"])
    score = _tests_say(screening, said)
    if held.num_rows:
        score = max(score, 0.4)
        said.append((0.2, f"{held.num_rows} of {screening.records.num_rows} records are held"))
    labels = [entry for entry in pc.value_counts(held["label"]).to_pylist() if entry["values"]]
    if labels and held.num_rows >= 3:
        top = max(labels, key=lambda entry: entry["counts"])
        concentration = top["counts"] / held.num_rows
        everywhere = pc.mean(pc.equal(screening.records["label"], top["values"])).as_py() or 0.0
        if concentration >= LOCALISED and concentration > 2 * everywhere:
            score = max(score, 0.8)
            said.append(
                (
                    0.8,
                    f"{concentration:.0%} of the held records are labelled "
                    f"{_shown(top['values'])} ({everywhere:.0%} of the batch is)",
                )
            )
    # A population that moved as a whole holds records everywhere: then it is less likely an attack.
    return score * (1 - 0.6 * min(1.0, share / BROAD_DRIFT))


def _tests_say(screening: Screening, said: list[tuple[float, str]]) -> float:
    """How much the batch tests speak for something hidden among ordinary records."""
    fired = {test.name for test in screening.tests if test.fired}
    score = 0.0
    for name, weight, text in _LOCAL_TESTS:
        if name in fired:
            score = max(score, weight)
            said.append((weight, text))
    return score


def _environment(
    moved: Sequence[ColumnDrift],
    share: float,
    before: list[float],
    said: list[tuple[float, str]],
) -> float:
    if not moved:
        return 0.0
    score = 0.3 + 0.4 * min(1.0, share / BROAD_DRIFT)
    worst = max(moved, key=lambda d: d.psi)
    said.append((score, f"{_shown(worst.column)} moved most (PSI {worst.psi:.2f}, {worst.band})"))
    if len(before) >= 2 and before[-1] > 0 and before[0] <= before[-1] <= share:
        score = min(0.95, score + 0.25)
        said.append((score, "earlier batches had begun to move in the same way"))
    return score


def _shown(text: str) -> str:
    """A name or label that somebody else chose, quoted and cut."""
    return repr(cut(text, MOST_CHARACTERS))
