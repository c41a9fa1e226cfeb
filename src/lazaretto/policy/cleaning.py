"""The policy's section `cleaning`: what is looked for in a delivery's texts, and what follows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lazaretto.policy.section import Section

Action = Literal["hold", "drop", "fix", "flag", "off"]
Unfixable = Literal["hold", "drop", "flag", "off"]
"""Actions of a rule that knows no better value."""

_ACTION = (
    "hold: a person decides. drop: it does not go on, and a person can bring it back. flag: it "
    "goes on, and is counted and named. off: nobody looks."
)
_COLUMNS = "Columns that are looked at. Default: every column of text but the record id."


class TextRule(Section):
    """A rule on texts that knows the better value."""

    action: Action = Field("hold", description=f"fix: the mended value goes on. {_ACTION}")
    columns: list[str] = Field(default_factory=list, description=_COLUMNS)


class FlaggedTextRule(TextRule):
    """The same; what it finds happens without anybody's ill will."""

    action: Action = Field("flag", description=f"fix: the mended value goes on. {_ACTION}")


class HeldRule(Section):
    """A rule on texts that a person must look at."""

    action: Unfixable = Field("hold", description=_ACTION)
    columns: list[str] = Field(default_factory=list, description=_COLUMNS)


class FlaggedRule(HeldRule):
    """The same; what it finds happens without anybody's ill will."""

    action: Unfixable = Field("flag", description=_ACTION)


class Identifiers(Section):
    """Names and labels whose letters are of several scripts, or look like another's."""

    action: Unfixable = Field("hold", description=_ACTION)
    columns: list[str] = Field(
        default_factory=list,
        description="Columns of names, keys or labels. Default: the label column.",
    )
    restriction: Literal["single_script", "highly", "moderately"] = Field(
        "highly",
        description="Restriction level of UTS #39 that every value must meet. single_script: "
        "letters of one script. highly: also Latin with Japanese, Korean or Chinese. moderately: "
        "also Latin with one other script, but not with Cyrillic or Greek.",
    )


class Lengths(Section):
    """Texts that are far shorter or longer than the source's own before."""

    action: Unfixable = Field("flag", description=_ACTION)
    columns: list[str] = Field(default_factory=list, description=_COLUMNS)
    level: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.001,
        description="Largest share of a column's values that is found, on average, while a source "
        "delivers as before. It takes 2/level earlier values to judge.",
    )
    batches: Annotated[int, Field(gt=0, le=1000)] = Field(
        50, description="How many of the source's last judged batches are compared with."
    )


class ExactDuplicates(Section):
    """Records with the content of another one."""

    action: Unfixable = Field("flag", description=_ACTION)
    columns: list[str] = Field(
        default_factory=list,
        description="The content: columns that are compared. Default: every column but the record "
        "id.",
    )
    compare: Literal["text", "exact"] = Field(
        "text",
        description="text: texts are the same whatever their letter case, white space, invisible "
        "characters and Unicode form. exact: byte by byte.",
    )
    within: Literal["keep_first", "all", "off"] = Field(
        "keep_first",
        description="Of the same records in one batch. keep_first: the first is none. all: the "
        "first too. off: only earlier batches are compared with.",
    )
    across: bool = Field(
        True,
        description="Compare with every record of the dataset, of any source. The catalog keeps an "
        "index of them.",
    )


class NearDuplicates(Section):
    """Records whose text is nearly that of another one."""

    action: Unfixable = Field("off", description=_ACTION)
    columns: list[str] = Field(
        default_factory=list,
        description="Columns whose texts are compared, together. Default: every column of text but "
        "the record id.",
    )
    similarity: Annotated[float, Field(ge=0.5, le=1)] = Field(
        0.8,
        description="Estimated Jaccard similarity of their sets of character 5-grams from which "
        "two texts are nearly the same.",
    )
    within: Literal["keep_first", "all", "off"] = Field(
        "keep_first", description="As of exact_duplicates."
    )
    across: bool = Field(True, description="As of exact_duplicates.")


class Cleaning(Section):
    """Routine cleaning: each rule with what becomes of a record that it finds."""

    bidi_controls: TextRule = Field(
        TextRule(), description="Characters that turn the direction of text where none is turned."
    )
    invisible: TextRule = Field(
        TextRule(),
        description="Zero-width characters, tags and variation selectors where no script or emoji "
        "needs them.",
    )
    control_characters: TextRule = Field(
        TextRule(), description="Control characters but tab, line end and form feed."
    )
    homoglyphs: HeldRule = Field(
        HeldRule(), description="Words in which letters of another script stand for Latin ones."
    )
    identifiers: Identifiers = Field(
        Identifiers(), description="Names and labels of several scripts, or that look like another."
    )
    private_use: FlaggedRule = Field(
        FlaggedRule(), description="Private-use characters, and code points that are none."
    )
    mojibake: FlaggedTextRule = Field(
        FlaggedTextRule(), description="Text that was read in the wrong encoding, such as `Ã©`."
    )
    replacement_characters: FlaggedRule = Field(
        FlaggedRule(), description="U+FFFD, which stands for what could not be read."
    )
    lengths: Lengths = Field(
        Lengths(), description="Texts far shorter or longer than the source's own before."
    )
    exact_duplicates: ExactDuplicates = Field(
        ExactDuplicates(), description="Records with the content of another one."
    )
    near_duplicates: NearDuplicates = Field(
        NearDuplicates(), description="Records whose text is nearly that of another one."
    )
    index_records: Annotated[int, Field(ge=0)] = Field(
        20_000_000,
        description="How many of the dataset's newest records the index keeps, at most. Copies of "
        "older ones are not found.",
    )

    @model_validator(mode="after")
    def _columns_once(self) -> Cleaning:
        for name in type(self).model_fields:
            columns = getattr(getattr(self, name), "columns", [])
            if len(set(columns)) != len(columns):
                raise ValueError(f"{name}: a column is named twice")
        return self
