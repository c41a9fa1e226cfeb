"""The trusted rows that a training set is judged against, or the explicit wish to have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch import Wanted, open_batch, table_digest
from lazaretto.batch._columns import label_texts
from lazaretto.errors import DeliveryError, UsageError
from lazaretto.registry.references import load_reference

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.sanitize import Sanitization
    from lazaretto.storage.workspace import Workspace

Trusted: TypeAlias = pa.Table | Literal["reference", "none"] | None


@dataclass(frozen=True, slots=True)
class TrustedRows:
    """Rows that are known to be clean.

    Attributes:
        data: what `capture` reads.
        labels: of each row, as text.
        size: how many.
        name: what they are, for the record.
    """

    data: Any
    labels: list[str]
    size: int
    name: str


def trusted_rows(
    workspace: Workspace, policy: Policy, trusted: Trusted, reads: Any
) -> TrustedRows | None:
    """The rows that `sanitize_training` judges against, None where it is asked to judge without.

    Raises:
        NotFoundError: no reference.
        UsageError: the policy names no label, or the reference does not keep what the model reads.
    """
    choice = policy.sanitize.trusted if trusted is None else trusted
    if isinstance(choice, pa.Table):
        labels = label_texts(choice, str(policy.columns.label)).to_pylist()
        named = f"a table of {choice.num_rows} rows, sha256 {table_digest(choice)[:16]}"
        return TrustedRows(choice, labels, choice.num_rows, named)
    if choice == "none":
        return None
    if policy.embed.encoder != "column" or reads != policy.columns.embedding:
        raise UsageError(
            "the reference keeps vectors, not what this model reads: give `trusted`, a table of "
            "trusted rows, or ask for `none`, to judge without"
        )
    reference = load_reference(workspace, policy.screen.reference or policy.dataset)
    if reference.sample.label is None:
        raise UsageError(
            "the reference has no labels: give `trusted`, a table of trusted rows, or ask for "
            "`none`, to judge without"
        )
    labels = [reference.classes[index] for index in reference.sample.label.tolist()]
    sample, named = reference.sample.embedding, f"reference {reference.name}/{reference.version}"
    return TrustedRows(sample, labels, len(sample), named)


def in_words(found: Sanitization, known: TrustedRows | None) -> str:
    """Whether the stated rate is backed, and by what, or why not."""
    if known is None:
        return "not calibrated: judged without trusted rows, so no rate is promised"
    if found.calibrated:
        return f"calibrated by {known.name}"
    judged = found.classes["p_value"].is_valid()
    missing = found.classes.filter(pc.invert(judged))["label"].to_pylist()
    return (
        f"not calibrated: {known.name} has too few rows of {', '.join(missing[:10])}"
        f"{' and others' if len(missing) > 10 else ''}"
    )


def read_trusted(choice: str | None, policy: Policy) -> Trusted:
    """``reference`` and ``none`` as they are; anything else is a file of rows, which is read.

    Raises:
        UsageError: the file cannot be read.
    """
    if choice == "reference":
        return "reference"
    if choice == "none":
        return "none"
    if choice is None:
        return None
    try:
        wanted = Wanted.of(policy.columns, read=policy.read.options())
        return open_batch(choice, limits=policy.limits, wanted=wanted).table()
    except DeliveryError as error:
        raise UsageError(f"rows to judge against cannot be read: {error}") from error
