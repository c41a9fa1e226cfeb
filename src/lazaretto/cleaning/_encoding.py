"""Text that was read in the wrong encoding, and what mends it: the library ftfy."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def find_mojibake(texts: pa.Array) -> pa.Array:
    """Texts that were written in one encoding and read in another, as ftfy knows them.

    Args:
        texts: string, without nulls.

    Returns:
        A bool for each.

    Examples:
        >>> find_mojibake(pa.array(["sch\u00f6n", "sch\u00c3\u00b6n"])).to_pylist()
        [False, True]
    """
    maybe = np.flatnonzero(
        pc.match_substring_regex(texts, _unlikely()).to_numpy(zero_copy_only=False)
    )
    found = np.zeros(len(texts), dtype=np.bool_)
    some = texts.take(pa.array(maybe)).to_pylist()
    found[maybe] = [mend(text) != text for text in some]
    return pa.array(found)


def mend(text: str) -> str:
    """The text as it was written, where that can be told; itself otherwise.

    Examples:
        >>> mend("d\u00c3\u00a9j\u00c3\u00a0 vu")
        'd\u00e9j\u00e0 vu'
    """
    from ftfy import TextFixerConfig, fix_encoding

    # Nothing but the encoding: what ftfy would do beside that is other rules' business. Where bytes
    # are lost, it would make a replacement character of them: a person decides on such a text.
    config = TextFixerConfig(
        restore_byte_a0=True,
        replace_lossy_sequences=False,
        decode_inconsistent_utf8=True,
        fix_c1_controls=False,
    )
    return fix_encoding(text, config)


@cache
def _unlikely() -> str:
    """Ftfy's pattern of unlikely letters, written as RE2 takes it: on one line."""
    from ftfy.badness import BADNESS_RE

    parts = re.findall(r"\\.|\[(?:\\.|[^\]\\])*\]|#[^\n]*|\s+|.", BADNESS_RE.pattern, re.DOTALL)
    return "".join(part for part in parts if not part.startswith("#") and not part.isspace())
