"""Which rule looks at which columns of a batch, and what of its records is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.cleaning._keys import content_keys, is_text, missing
from lazaretto.cleaning._near import Sketches, sketches
from lazaretto.cleaning._texts import TEXT_RULES, has_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lazaretto.policy import Cleaning, Columns

_OURS = ("_lazaretto", "lazaretto_")
"""How the columns begin that admission adds: they are no content."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rule looks at which columns.

    Attributes:
        texts: rules on texts by name, with their columns and what becomes of what they find.
        identifiers: columns of names.
        lengths: columns whose lengths are counted.
        content: columns that are the content; empty where no rule compares it.
        near: columns whose text is compared.
        read: every column that is read.
        broken: what the policy asks for and the batch does not have.
        cleaning: the policy's section.
    """

    texts: dict[str, tuple[list[str], str]]
    identifiers: list[str]
    lengths: list[str]
    content: list[str]
    near: list[str]
    read: list[str]
    broken: list[str]
    cleaning: Cleaning

    @classmethod
    def of(cls, schema: pa.Schema, columns: Columns, cleaning: Cleaning) -> Plan:
        """The plan for a batch of some columns."""
        broken: list[str] = []
        own = [f.name for f in schema if not f.name.startswith(_OURS)]
        every = [name for name in own if name != columns.record_id]
        nested = [name for name in every if has_text(schema.field(name).type)]
        plain = [name for name in every if is_text(schema.field(name).type)]

        def chosen(rule: str, default: list[str], *, of_text: bool = True) -> list[str]:
            section = getattr(cleaning, rule)
            if section.action == "off":
                return []
            gone = missing(section.columns, schema)
            there = [name for name in section.columns if name not in gone]
            wrong = [n for n in there if of_text and not has_text(schema.field(n).type)]
            broken.extend(
                f"there is no column {name!r}, which cleaning.{rule} looks at" for name in gone
            )
            broken.extend(
                f"column {name!r}, which cleaning.{rule} looks at, has no text" for name in wrong
            )
            return [n for n in there if n not in wrong] if section.columns else default

        texts = {
            rule: (chosen(rule, nested), getattr(cleaning, rule).action) for rule in TEXT_RULES
        }
        label = [name for name in plain if name == columns.label]
        identifiers, lengths = chosen("identifiers", label), chosen("lengths", plain)
        content = chosen("exact_duplicates", every, of_text=False)
        near = chosen("near_duplicates", plain)
        read = [name for looked_at, _ in texts.values() for name in looked_at]
        read = list(dict.fromkeys([*read, *identifiers, *lengths, *content, *near]))
        flat = [
            name
            for name in (*identifiers, *lengths, *near)
            if name not in (*plain, columns.record_id)
        ]
        broken.extend(
            f"column {name!r} has no plain text to compare" for name in dict.fromkeys(flat)
        )
        return cls(
            texts={rule: found for rule, found in texts.items() if found[0]},
            identifiers=[name for name in identifiers if name not in flat],
            lengths=[name for name in lengths if name not in flat],
            content=content,
            near=[name for name in near if name not in flat],
            read=read,
            broken=broken,
            cleaning=cleaning,
        )


def contents(chunk: pa.RecordBatch, plan: Plan) -> tuple[NDArray[np.int64] | None, Sketches | None]:
    """Keys and sketches of records, as far as a rule compares them.

    Args:
        chunk: records with the columns that they are of.
        plan: which those are.

    Examples:
        >>> from lazaretto.policy import Cleaning, Columns
        >>> rows = pa.record_batch({"id": ["a", "b"], "text": ["Good", "good "]})
        >>> plan = Plan.of(rows.schema, Columns(record_id="id"), Cleaning())
        >>> first, second = contents(rows, plan)[0].tolist()
        >>> first == second
        True
    """
    keys = found = None
    if plan.content:
        keys = content_keys(chunk.select(plan.content), plan.cleaning.exact_duplicates.compare)
    if plan.near:
        texts = [pc.fill_null(chunk.column(n).cast(pa.large_string()), "") for n in plan.near]
        end = pa.scalar("\n", pa.large_string())
        found = sketches(texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, end))
    return keys, found
