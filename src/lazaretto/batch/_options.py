"""How text is written, where it is not the usual way: what the policy's section `read` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How CSV and JSON Lines are written; see `lazaretto.policy.Read` for each of them."""

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str | None = '"'
    decimal: str = "."
    null_values: tuple[str, ...] | None = None
    header: bool = True
    column_names: tuple[str, ...] | None = None
    skip_rows: int = 0
    comment: str | None = None

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> TextOptions:
        """What differs from the usual, as JSON says it.

        Example:
            >>> TextOptions.of({"delimiter": ";", "null_values": ["-"]}).null_values
            ('-',)
        """
        lists = {key: tuple(value) for key, value in said.items() if isinstance(value, list)}
        return cls(**{**said, **lists})
