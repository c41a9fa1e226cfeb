"""Which columns of a sample are prompts and responses, or preferences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.proposal.examine import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.proposal.examine import Seen

_PROMPTS = ("prompt", "instruction", "question")
_RESPONSES = ("response", "completion", "output", "answer")


def instruction_columns(free: Sequence[Seen]) -> tuple[str, ...] | None:
    """Columns of prompt and response, or of prompt, chosen and rejected; None: there are none."""
    # A rejected text may be one of a few phrases: then it looks like a category.
    kinds = (Kind.TEXT, Kind.NAME, Kind.CATEGORY)
    texts = {one.path.lower(): one.path for one in free if one.kind in kinds}
    prompt = next((texts[name] for name in _PROMPTS if name in texts), None)
    if prompt is None:
        return None
    if "chosen" in texts and "rejected" in texts:
        return prompt, texts["chosen"], texts["rejected"]
    response = next((texts[name] for name in _RESPONSES if name in texts), None)
    return None if response is None else (prompt, response)
