"""The documents of a manifest as they arrive: DSSE envelope and in-toto statement, bounded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from securesystemslib import dsse

from lazaretto.errors import DeliveryError
from lazaretto.sources.tree import bad_name, same_elsewhere
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from typing import Self

FOLDER_TYPE = "urn:lazaretto:attestation:folder-manifest:v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_BYTES = 32 << 20
"""Of an envelope: that of a folder names every file in it."""
_MAX_MARKS = 2_000
_MAX_SIGNATURES = 16
_MOST_PROBLEMS = 10


class _Edge(BaseModel):
    # in-toto asks consumers to ignore fields that they do not know.
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class _Digest(_Edge):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Subject(_Edge):
    name: Annotated[str, Field(min_length=1, max_length=1024)]
    digest: _Digest


class _Predicate(_Edge):
    source: Annotated[str, Field(min_length=1, max_length=255)]
    collected_from: AwareDatetime | None = Field(None, alias="collectedFrom")
    collected_to: AwareDatetime | None = Field(None, alias="collectedTo")
    issued_at: AwareDatetime = Field(alias="issuedAt")
    expires: AwareDatetime | None = None
    rows: Annotated[int, Field(ge=0, strict=True)] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        start, end = self.collected_from, self.collected_to
        if (start is None) != (end is None):
            raise ValueError("collectedFrom and collectedTo come together, or not at all")
        if start is not None and end is not None and start > end:
            raise ValueError("collectedFrom is after collectedTo")
        if self.expires is not None and self.expires <= self.issued_at:
            raise ValueError("expires is not after issuedAt")
        return self


class _FilePredicate(_Predicate):
    collected_from: AwareDatetime = Field(alias="collectedFrom")
    collected_to: AwareDatetime = Field(alias="collectedTo")


class _FolderPredicate(_Predicate):
    folder: Annotated[str, Field(min_length=1, max_length=1024)]


class Statement(_Edge):
    """An in-toto statement about one file, with the manifest as its predicate."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicate_type: Literal["urn:lazaretto:attestation:source-manifest:v1"] = Field(
        alias="predicateType"
    )
    predicate: _FilePredicate


class FolderStatement(_Edge):
    """An in-toto statement about every file of a folder."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[list[_Subject], Field(min_length=1)]
    predicate_type: Literal["urn:lazaretto:attestation:folder-manifest:v1"] = Field(
        alias="predicateType"
    )
    predicate: _FolderPredicate

    @model_validator(mode="after")
    def _names_mean_one_file_each(self) -> Self:
        names = [subject.name for subject in self.subject]
        for name in names:
            problem = bad_name(name)
            if problem is not None:
                raise ValueError(f"the name {excerpt(name, 80)!r} cannot be signed: {problem}")
        if len(set(names)) != len(names):
            raise ValueError("it names a file twice")
        same = same_elsewhere(names)
        if same is not None:
            raise ValueError(f"{same[0]!r} and {same[1]!r} are one on some systems")
        return self


def parse_envelope(data: bytes) -> dsse.Envelope:
    """Reads a DSSE envelope; nothing in it is verified yet.

    Raises:
        DeliveryError: ``bad_envelope``.
    """
    if len(data) > MAX_BYTES:
        raise bad_envelope(f"{len(data):,} bytes, more than {MAX_BYTES:,}")
    # Nothing is verified yet. However long a payload is, an envelope has few parts, and base64 has
    # none of these marks: so what is built of it here stays small.
    if sum(data.count(mark) for mark in (b"{", b"[", b",")) > _MAX_MARKS:
        raise bad_envelope("it is no envelope: it has too many parts")
    try:
        content = strict_json(data)
        if isinstance(content, dict) and "dsseEnvelope" in content:
            raise bad_envelope(
                "it is a bundle of OpenSSF Model Signing, which says neither who delivers nor when "
                "its records were collected: `lazaretto manifest verify` checks it; to deliver, "
                "sign with `lazaretto manifest sign`"
            )
        if len(content["signatures"]) > _MAX_SIGNATURES:
            raise bad_envelope(f"more than {_MAX_SIGNATURES} signatures")
        # DSSE's key id is an optional hint; securesystemslib wants one, and one signature for each.
        signatures = [
            {**entry, "keyid": str(entry.get("keyid") or f"unnamed-{number}")}
            for number, entry in enumerate(content["signatures"])
        ]
        envelope = dsse.Envelope.from_dict({**content, "signatures": signatures})
    except DeliveryError:
        raise
    # Whatever shape a hostile document has, it is one error here.
    except Exception as error:
        raise bad_envelope(type(error).__name__) from error
    if envelope.payload_type != PAYLOAD_TYPE:
        raise bad_envelope(f"payloadType is not {PAYLOAD_TYPE}")
    if not envelope.signatures:
        raise bad_envelope("no signatures")
    return envelope


def parse_statement(payload: bytes) -> Statement | FolderStatement:
    """Reads a statement about a file or a folder.

    Raises:
        DeliveryError: ``bad_envelope``.
    """
    try:
        said = strict_json(payload)
        kind = said.get("predicateType") if isinstance(said, dict) else None
        if kind == FOLDER_TYPE:
            return FolderStatement.model_validate(said)
        return Statement.model_validate(said)
    except ValidationError as error:
        raise bad_envelope(problems(error)) from error
    except (ValueError, RecursionError) as error:
        raise bad_envelope(type(error).__name__) from error


def strict_json(data: bytes) -> Any:
    """JSON without repeated keys: two readers could otherwise see two manifests in one."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("repeated key")
        return dict(pairs)

    return json.loads(data, object_pairs_hook=unique)


def bad_envelope(problem: str) -> DeliveryError:
    """The refusal of a manifest that cannot be read."""
    return DeliveryError(f"the manifest cannot be read: {problem}", code="bad_envelope")


def problems(error: ValidationError) -> str:
    """What pydantic found wrong, in one line."""
    found = (
        f"{'.'.join(map(str, item['loc'])) or 'predicate'}: {item['msg']}"
        for item in error.errors()[:_MOST_PROBLEMS]
    )
    return "; ".join(found)
