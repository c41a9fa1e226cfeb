"""Evaluations on record, and whether they show what a policy asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelEvaluated
from lazaretto.names import registry_name
from lazaretto.policy.promotion import AT_LEAST, AT_MOST
from lazaretto.values import RefusedFor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.authority.model_rules import RulesOfDataset
    from lazaretto.dataset.models import KnownModel, ModelKey
    from lazaretto.policy.promotion import Evidence
    from lazaretto.values import Actor

PREDICTIONS = "predictions"
"""How an evaluation was made that only read a file of answers."""
_OF_A_VERSION_BEFORE = "agreement"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An evaluation that is on record.

    Attributes:
        seq: ledger entry.
        at: when, UTC.
        by: who made it.
        event: what it says.
    """

    seq: int
    at: datetime
    by: Actor
    event: ModelEvaluated


def evaluations_of(connection: Connection, key: ModelKey) -> list[Evaluation]:
    """The evaluations of a model version, newest first.

    Raises:
        LedgerError: an entry was edited.
    """
    found = entries(
        connection,
        subject=f"model:{key.model}",
        kinds=[ModelEvaluated.kind],
        newest_first=True,
    )
    return [
        Evaluation(entry.seq, entry.at, entry.actor, entry.event)
        for entry in found
        if isinstance(entry.event, ModelEvaluated)
        and entry.event.version == key.version
        and registry_name(entry.event.registry) == registry_name(key.registry)
    ]


def shortfalls(
    evaluations: list[Evaluation],
    model: KnownModel,
    rules: RulesOfDataset,
    now: datetime,
    in_use: str | None = None,
) -> tuple[list[RefusedFor], list[int]]:
    """What of the evidence that a policy asks for is missing or falls short.

    The newest evaluation decides, on each of the test sets that the policy names: an older one
    with better figures does not count.

    Args:
        evaluations: of the version, newest first.
        model: the version.
        rules: what the policy says.
        now: aware time; it decides what is too old.
        in_use: version that is in use, which this one is compared with; None: there is none.

    Returns:
        What speaks against the version, and the ledger entries of the evaluations that count.
    """
    asked = rules.rules.evidence
    if asked is None:
        return [], []
    problems = [(one, _no_evidence(one, model, asked, now)) for one in evaluations]
    counting = [one for one, problem in problems if problem is None]
    refused: list[RefusedFor] = []
    entries_: list[int] = []
    wanted: list[str | None] = [*asked.test_sets] or [None]
    for test_set in wanted:
        newest = next((o for o in counting if test_set in (None, o.event.test_set)), None)
        if newest is None:
            refused.append(RefusedFor("no_evidence", _missing(rules, test_set, problems)))
            continue
        entries_.append(newest.seq)
        refused += _short(newest, asked, rules, in_use)
    return refused, entries_


def _no_evidence(one: Evaluation, model: KnownModel, asked: Evidence, now: datetime) -> str | None:
    """Why an evaluation does not count; None where it does."""
    event, weights = one.event, model.newest.artifact_digest
    if event.how == PREDICTIONS and not asked.predictions:
        return "it was made from a file of predictions, which the policy does not take"
    if event.how != PREDICTIONS and event.artifact_digest is None:
        return "it does not say which weights were run"
    if event.artifact_digest is not None and event.artifact_digest != weights:
        return "other weights were run than those on record"
    if event.rows < asked.rows:
        return f"it has {event.rows:,} rows, and {asked.rows:,} are asked for"
    if asked.max_age_days is not None and now - one.at > timedelta(days=asked.max_age_days):
        return f"it is older than {asked.max_age_days} days"
    return None


def _missing(
    rules: RulesOfDataset,
    test_set: str | None,
    problems: list[tuple[Evaluation, str | None]],
) -> str:
    on = "" if test_set is None else f" on the test set {test_set[:16]}…"
    mine = [
        f"entry {one.seq}: {problem}"
        for one, problem in problems
        if problem is not None and test_set in (None, one.event.test_set)
    ]
    why = f" ({mine[0]})" if mine else ""
    return (
        f"the policy of {rules.dataset!r} asks for an evaluation{on}, and none counts{why}: "
        "`lazaretto model evaluate` makes one"
    )


def _short(
    one: Evaluation, asked: Evidence, rules: RulesOfDataset, in_use: str | None
) -> Iterator[RefusedFor]:
    by = f"(entry {one.seq}, policy of {rules.dataset!r})"
    for name in (*AT_LEAST, *AT_MOST):
        limit: float | None = getattr(asked, name)
        if limit is None:
            continue
        figure = one.event.figures.get(name)
        words = name.replace("_", " ")
        if name == _OF_A_VERSION_BEFORE:
            if in_use in (None, one.event.version):
                continue
            if one.event.compared_with != in_use:
                text = f"its evaluation was not compared with version {in_use}, which is in use"
                yield RefusedFor("no_evidence", f"{text} {by}")
                continue
        if figure is None:
            text = f"its evaluation did not measure {words} {by}"
            yield RefusedFor("no_evidence", text)
        elif figure < limit if name in AT_LEAST else figure > limit:
            least = "at least" if name in AT_LEAST else "at most"
            text = f"{words} is {figure:.4g}, {least} {limit:.4g} is asked for {by}"
            yield RefusedFor("falls_short", text)
