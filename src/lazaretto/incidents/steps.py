"""What to do first about an incident, in order, each with a command to copy."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.authority.holds import noun_of
from lazaretto.incidents.actions import trained_anew
from lazaretto.incidents.holding import shell_of_holds
from lazaretto.incidents.production import models_of, named
from lazaretto.incidents.question import trace_command, window_options
from lazaretto.incidents.recorded import OPEN
from lazaretto.values import HoldKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.authority.holds import Hold
    from lazaretto.incidents.actions import Action
    from lazaretto.incidents.evidence import Evidence, InDataset
    from lazaretto.incidents.production import InProduction
    from lazaretto.incidents.recorded import Incident

MOST_OF_A_KIND = 5
"""Steps of one kind that are given; the command of the trace has all."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        what: in words.
        command: for a shell; None: nothing of Lazaretto's does it.
    """

    what: str
    command: str | None


def steps_for(
    incident: Incident,
    evidence: Evidence,
    holds: Sequence[Hold],
    production: Sequence[InProduction],
    actions: Sequence[Action],
) -> list[Step]:
    """What to do, the most urgent first: stop it, take it out of use, take it back, train anew.

    Args:
        incident: which; of a closed one nothing is to be done.
        evidence: what there is of its batches.
        holds: that are in force for it.
        production: what is in use.
        actions: what was done since.
    """
    if incident.state != OPEN:
        return []
    return [
        *_stop(incident, evidence, holds),
        *_out_of_use(incident, holds, production),
        *_keys(evidence),
        *_take_back(incident, evidence),
        *_train_anew(incident, actions),
        *_finish(incident, holds),
    ]


def _stop(incident: Incident, evidence: Evidence, holds: Sequence[Hold]) -> Iterator[Step]:
    if incident.question.kind == "model":
        return
    sources = evidence.sources
    if incident.question.kind == "source" and incident.question.subject not in sources:
        sources = [incident.question.subject, *sources]
    for source in sources[:MOST_OF_A_KIND]:
        if not _holds(holds, HoldKind.SOURCE, source):
            what = f"Hold whatever {source} delivers from now on."
            yield Step(what, _freeze(incident, HoldKind.SOURCE, source))


def _out_of_use(
    incident: Incident, holds: Sequence[Hold], production: Sequence[InProduction]
) -> Iterator[Step]:
    for one in [one for one in production if one.affected or one.unknown][:MOST_OF_A_KIND]:
        is_what = "is affected" if one.affected else "may be affected"
        name = f"{one.model}@{one.version}{_where(one, production)}"
        what = (
            f"{name} {is_what}, and is {one.alias!r} since {one.since:%Y-%m-%d %H:%M}Z: put a "
            "version back in use that is not."
        )
        yield Step(what, None)
    for model in sorted(models_of(incident.answer.models))[:MOST_OF_A_KIND]:
        if not _holds(holds, HoldKind.PROMOTION, model):
            what = f"Let no version of {model} into use meanwhile."
            yield Step(what, _freeze(incident, HoldKind.PROMOTION, model))


def _where(one: InProduction, production: Sequence[InProduction]) -> str:
    """In which registry it is, where that is not plain."""
    return named(one, production).removeprefix(one.model)


def _keys(evidence: Evidence) -> Iterator[Step]:
    signed = [key for key in evidence.keys if key.key_id is not None and key.revoked_at is None]
    for key in signed[:MOST_OF_A_KIND]:
        words = ["lazaretto", "source", "revoke", key.source, str(key.key_id)[:16]]
        what = f"If somebody else has this key of {key.source}, revoke it."
        yield Step(what, f"{shlex.join(words)} --reason TEXT")


def _take_back(incident: Incident, evidence: Evidence) -> Iterator[Step]:
    asked = incident.question
    if asked.kind == "model":
        what = "See what it was made of, and open an incident for the source that is to blame."
        yield Step(what, trace_command(asked))
        return
    for one in [one for one in evidence.datasets if one.left][:MOST_OF_A_KIND]:
        if asked.without:
            yield from _batch_by_batch(incident, one)
            continue
        words = ["lazaretto", "dataset", "recall", one.dataset, f"--{asked.kind}", asked.subject]
        words += [*window_options(asked), "--reason", incident.id]
        what = f"Take back what is in {one.dataset}: {one.left:,} records in question."
        yield Step(what, shlex.join(words))
    for case in evidence.held[:MOST_OF_A_KIND]:
        records = "record" if case.records == 1 else "records"
        what = f"Decide on {case.records:,} held {records} of {case.batch}."
        yield Step(what, shlex.join(["lazaretto", "quarantine", "show", case.case]))


def _batch_by_batch(incident: Incident, one: InDataset) -> Iterator[Step]:
    """Steps that take back each batch in question: the whole would take what is left out, too."""
    for batch in one.batches_left[:MOST_OF_A_KIND]:
        words = ["lazaretto", "dataset", "recall", one.dataset, "--batch", batch]
        more = len(one.batches_left) - MOST_OF_A_KIND
        last = more > 0 and batch == one.batches_left[MOST_OF_A_KIND - 1]
        what = f"Take back what is in {one.dataset} of {batch}"
        yield Step(
            f"{what}, and then of {more:,} more batches in question." if last else f"{what}.",
            shlex.join([*words, "--reason", incident.id]),
        )


def _train_anew(incident: Incident, actions: Sequence[Action]) -> Iterator[Step]:
    left = models_of(incident.answer.models) - trained_anew(incident, actions)
    if incident.question.kind != "model" and left:
        what = "Train these models anew, in this order, and see what to roll back to."
        yield Step(what, trace_command(incident.question))
    elif incident.cannot_say:
        what = "See what the answer could not see, and why."
        yield Step(what, trace_command(incident.question))


def _finish(incident: Incident, holds: Sequence[Hold]) -> Iterator[Step]:
    yield Step(
        "Ask again: what arrives or is trained meanwhile may change the answer.",
        f"lazaretto incident refresh {incident.id}",
    )
    for line in shell_of_holds(holds):
        yield Step("When the cause is gone, lift the hold.", line)
    yield Step(
        "When all of it is done, conclude it.", f"lazaretto incident close {incident.id} --why TEXT"
    )


def _holds(holds: Sequence[Hold], what: HoldKind, name: str) -> bool:
    return any((hold.what, hold.name) == (what, name) for hold in holds)


def _freeze(incident: Incident, what: HoldKind, name: str) -> str:
    words = ["lazaretto", "incident", "freeze", incident.id, f"--{noun_of(what)}", name]
    return f"{shlex.join(words)} --why TEXT"
