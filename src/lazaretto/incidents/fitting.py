"""Which holds fit a question: whose deliveries can be stopped, and which dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchReceived, KeyAdded
from lazaretto.ledger.source_names import source_identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.values import Question

OF_A_SOURCE = ("source", "batch", "record", "key")
"""Kinds of questions that are about what one source, or the holder of its key, delivered."""
OF_A_DATASET = ("policy", "dataset")
"""Kinds of questions whose subject names a dataset."""
_INSTEAD = {
    "policy": "a policy judges many sources: put its dataset on hold instead",
    "reference": "many sources are screened against a reference: put a dataset on hold instead",
    "decision": "a person let these records in, not a source: put their dataset on hold instead",
    "dataset": "a dataset is of many sources: put it on hold instead",
    "model": "a model is of many sources: put a dataset or the model on hold instead",
}


def sources_to_hold(connection: Connection, question: Question) -> list[str]:
    """The sources whose deliveries a question is about, by their first names.

    Args:
        connection: of the catalog.
        question: what is asked.

    Returns:
        Several only for a key that several sources have.

    Raises:
        UsageError: the question is not about one source's deliveries.
        NotFoundError: no source has the key.
    """
    if question.kind not in OF_A_SOURCE:
        raise UsageError(f"no source can be put on hold: {_INSTEAD[question.kind]}")
    if question.kind == "source":
        return [source_identity(connection, question.subject)]
    if question.kind == "key":
        return _sources_of_key(connection, question.subject)
    batch = question.subject.partition("#")[0]
    return [source_identity(connection, batch.rpartition("/")[0])]


def sources_asked(connection: Connection, question: Question) -> list[str]:
    """The same; none where the question is about something else."""
    if question.kind not in OF_A_SOURCE:
        return []
    return sources_to_hold(connection, question)


def datasets_to_hold(question: Question, entered: Sequence[str]) -> list[str]:
    """Datasets that nothing more should enter meanwhile, where no source is to blame.

    Args:
        question: what is asked.
        entered: datasets that what is in question entered.
    """
    if question.kind in OF_A_DATASET:
        return [question.subject.rpartition("@")[0]]
    return list(entered) if question.kind in ("reference", "decision") else []


def _sources_of_key(connection: Connection, key: str) -> list[str]:
    found = set()
    for entry in entries(connection, kinds=[KeyAdded.kind, BatchReceived.kind]):
        match entry.event:
            case KeyAdded() as event if event.key_id == key:
                found.add(event.source)
            case BatchReceived() as event if event.signature.key_id == key:
                found.add(event.source)
    if not found:
        raise NotFoundError(f"no source has the key {key!r}")
    return sorted(found)
