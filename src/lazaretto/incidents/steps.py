"""What to do first about an incident, in order, each with a command to copy."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.authority.holds import noun_of
from lazaretto.incidents.actions import trained_anew
from lazaretto.incidents.fitting import datasets_to_hold
from lazaretto.incidents.holding import shell_of_holds
from lazaretto.incidents.production import models_of, named
from lazaretto.incidents.question import window_options
from lazaretto.incidents.recorded import OPEN
from lazaretto.lineage.trace.asking import command_of
from lazaretto.values import HoldKind
from lazaretto.window import EITHER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.authority.holds import Hold
    from lazaretto.incidents.actions import Action
    from lazaretto.incidents.evidence import Evidence
    from lazaretto.incidents.production import InProduction
    from lazaretto.incidents.recorded import Incident

_RECALLED_BY = ("source", "batch", "record")
"""Kinds of questions that `lazaretto dataset recall` takes as they are."""
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
    sources: Sequence[str] = (),
) -> list[Step]:
    """What to do, the most urgent first: stop it, take it out of use, take it back, train anew.

    Args:
        incident: which; of a closed one nothing is to be done.
        evidence: what there is of its batches.
        holds: that are in force for it.
        production: what is in use.
        actions: what was done since.
        sources: whose deliveries the question is about.
    """
    if incident.state != OPEN:
        return []
    return [
        *_stop(incident, evidence, holds, sources),
        *_out_of_use(incident, holds, production),
        *_keys(incident, evidence),
        *_mend(incident),
        *_take_back(incident, evidence),
        *_train_anew(incident, actions),
        *_finish(incident, holds),
    ]


def _stop(
    incident: Incident, evidence: Evidence, holds: Sequence[Hold], sources: Sequence[str]
) -> Iterator[Step]:
    """Stops who delivered it; where no source is to blame, what it entered."""
    for source in sources[:MOST_OF_A_KIND]:
        if not _holds(holds, HoldKind.SOURCE, source):
            what = f"Hold whatever {source} delivers from now on."
            yield Step(what, _freeze(incident, HoldKind.SOURCE, source))
    entered = [one.dataset for one in evidence.datasets]
    for dataset in datasets_to_hold(incident.question, entered)[:MOST_OF_A_KIND]:
        if not _holds(holds, HoldKind.PUBLISHING, dataset):
            what = f"Let nothing enter {dataset} meanwhile."
            yield Step(what, _freeze(incident, HoldKind.PUBLISHING, dataset))


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
        words = ["lazaretto", "model", "rollback", one.model, "--alias", one.alias]
        words += ["--registry", one.registry] if _where(one, production) else []
        yield Step(what, shlex.join([*words, "--reason", incident.id]))
    for model in sorted(models_of(incident.answer.models))[:MOST_OF_A_KIND]:
        if not _holds(holds, HoldKind.PROMOTION, model):
            what = f"Let no version of {model} into use meanwhile."
            yield Step(what, _freeze(incident, HoldKind.PROMOTION, model))


def _where(one: InProduction, production: Sequence[InProduction]) -> str:
    """In which registry it is, where that is not plain."""
    return named(one, production).removeprefix(one.model)


def _keys(incident: Incident, evidence: Evidence) -> Iterator[Step]:
    asked = incident.question
    signed = [key for key in evidence.keys if key.key_id is not None and key.revoked_at is None]
    for key in signed[:MOST_OF_A_KIND]:
        words = ["lazaretto", "source", "revoke", key.source, str(key.key_id)[:16]]
        what = f"If somebody else has this key of {key.source}, revoke it."
        if asked.kind == "key":
            what = f"Revoke this key of {key.source}, from the moment on when it was stolen."
            words += ["--at", asked.since.isoformat()] if asked.since else []
        yield Step(what, f"{shlex.join(words)} --reason TEXT")


def _mend(incident: Incident) -> Iterator[Step]:
    """Mends what let it in, before anything else is judged by it."""
    name, _, version = incident.question.subject.rpartition("@")
    match incident.question.kind:
        case "policy":
            what = "See what a corrected policy would have held of it, and put that one in force."
            yield Step(what, "lazaretto policy replay POLICY.yaml --since TIME")
        case "reference":
            what = f"Put another version of {name} in use than {version}."
            yield Step(what, shlex.join(["lazaretto", "reference", "list"]))


def _take_back(incident: Incident, evidence: Evidence) -> Iterator[Step]:
    asked = incident.question
    if asked.kind in ("model", "dataset"):
        what = "See what it was made of, and open an incident for the source that is to blame."
        if asked.kind == "dataset":
            what = "See what it holds, and open an incident for what of it is to blame."
        yield Step(what, command_of(asked))
        return
    for one in [one for one in evidence.datasets if one.left][:MOST_OF_A_KIND]:
        words = ["lazaretto", "dataset", "recall", one.dataset]
        if asked.kind in _RECALLED_BY and not asked.without and asked.by == EITHER:
            words += [f"--{asked.kind}", asked.subject, *window_options(asked)]
        else:
            words += ["--incident", incident.id]
        what = f"Take back what is in {one.dataset}: {one.left:,} records in question."
        if asked.kind == "record":
            what = f"If the record is in {one.dataset}, take it back."
        yield Step(what, shlex.join([*words, "--reason", incident.id]))
    for case in evidence.held[:MOST_OF_A_KIND]:
        records = "record" if case.records == 1 else "records"
        what = f"Decide on {case.records:,} held {records} of {case.batch}."
        yield Step(what, shlex.join(["lazaretto", "quarantine", "show", case.case]))


def _train_anew(incident: Incident, actions: Sequence[Action]) -> Iterator[Step]:
    left = models_of(incident.answer.models) - trained_anew(incident, actions)
    if incident.question.kind != "model" and left:
        what = "Train these models anew, in this order, and see what to roll back to."
        yield Step(what, command_of(incident.question))
    elif incident.cannot_say:
        what = "See what the answer could not see, and why."
        yield Step(what, command_of(incident.question))


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
