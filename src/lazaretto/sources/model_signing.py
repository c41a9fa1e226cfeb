"""Bundles of OpenSSF Model Signing: read and verified by our own means, those signed with a key.

A Sigstore bundle (JSON) around a DSSE envelope, whose in-toto statement names every file of a
folder. Format: https://github.com/sigstore/model-transparency, predicate
``https://model_signing/signature/v1.0``. Bundles that are signed with a certificate or a Sigstore
identity are refused: nothing here checks certificates or a transparency log.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lazaretto.errors import DeliveryError
from lazaretto.sources.signer import signing_key
from lazaretto.sources.statement import (
    MAX_BYTES,
    bad_envelope,
    parse_envelope,
    problems,
    strict_json,
)
from lazaretto.sources.tree import bad_name
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.sources.source_key import SourceKey

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle"
_MOST_MARKS = 10_000


@dataclass(frozen=True, slots=True)
class SignedModel:
    """What a bundle signs.

    Attributes:
        name: of the folder.
        files: digest (hex) of every file, by its path.
        algorithm: of the digests.
        ignored: paths that the signer left out, with all below them.
        key_id: of the key that signed it.
        scheme: of that key.
    """

    name: str
    files: Mapping[str, str]
    algorithm: Literal["sha256", "blake2b"]
    ignored: tuple[str, ...]
    key_id: str
    scheme: str


class _Edge(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Resource(_Edge):
    name: Annotated[str, Field(min_length=1)]
    digest: Annotated[str, Field(pattern=r"^(?:[0-9a-f]{64}|[0-9a-f]{128})$")]
    algorithm: str


class _Serialization(_Edge):
    method: str
    hash_type: str
    allow_symlinks: bool = False
    ignore_paths: list[str] = Field(default_factory=list)


class _Predicate(_Edge):
    serialization: _Serialization
    resources: Annotated[list[_Resource], Field(min_length=1)]


class _Root(_Edge):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Subject(_Edge):
    name: str
    digest: _Root


class _Statement(_Edge):
    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicate_type: Literal["https://model_signing/signature/v1.0"] = Field(alias="predicateType")
    predicate: _Predicate


def is_bundle(data: bytes) -> bool:
    """Whether a file is a Sigstore bundle, and no envelope as `sign_manifest` makes it."""
    found = _bundle(data)
    return found is not None and str(found.get("mediaType", "")).startswith(MEDIA_TYPE)


def verify_bundle(data: bytes, keys: Sequence[SourceKey]) -> SignedModel:
    """Checks the signature of a bundle, and reads what it signs.

    Args:
        data: the bundle, JSON.
        keys: that may have signed it; the key that the bundle hints at is only a hint.

    Raises:
        DeliveryError: ``bad_envelope``, ``bad_signature`` or ``unknown_key``.
    """
    bundle = _bundle(data)
    if bundle is None:
        raise bad_envelope("it is no Sigstore bundle")
    material = bundle.get("verificationMaterial")
    if not isinstance(material, dict) or not isinstance(material.get("publicKey"), dict):
        raise DeliveryError(
            "the bundle is signed with a certificate or a Sigstore identity; only bundles that are "
            "signed with a key are verified here (`model_signing sign key`)",
            code="bad_envelope",
        )
    envelope = parse_envelope(json.dumps(bundle.get("dsseEnvelope")).encode())
    key = signing_key(envelope, keys)
    try:
        said = _Statement.model_validate(strict_json(envelope.payload))
    except ValidationError as error:
        raise bad_envelope(problems(error)) from error
    except (ValueError, RecursionError) as error:
        raise bad_envelope(type(error).__name__) from error
    how = said.predicate.serialization
    if how.method != "files" or how.hash_type not in ("sha256", "blake2b") or how.allow_symlinks:
        raise bad_envelope(
            f"it is made by method {excerpt(how.method, 40)!r} with {excerpt(how.hash_type, 40)!r}"
            f"{' and follows links' if how.allow_symlinks else ''}; whole files by sha256 or "
            "blake2b are read, without links"
        )
    return SignedModel(
        name=said.subject[0].name,
        files=_files(said),
        algorithm="sha256" if how.hash_type == "sha256" else "blake2b",
        ignored=tuple(how.ignore_paths),
        key_id=key.key_id,
        scheme=key.scheme,
    )


def _files(said: _Statement) -> dict[str, str]:
    """Every file's digest; together they must be what the statement's subject says."""
    files, root = dict[str, str](), hashlib.sha256()
    for resource in said.predicate.resources:
        problem = bad_name(resource.name)
        if problem is not None or resource.name in files:
            name = excerpt(resource.name, 80)
            raise bad_envelope(f"the name {name!r} cannot be one: {problem or 'it comes twice'}")
        if resource.algorithm != said.predicate.serialization.hash_type:
            raise bad_envelope("its files are hashed in several ways")
        files[resource.name] = resource.digest
        root.update(bytes.fromhex(resource.digest))
    if root.hexdigest() != said.subject[0].digest.sha256:
        raise bad_envelope("its list of files is not the one that its subject stands for")
    return files


def _bundle(data: bytes) -> dict[str, object] | None:
    # As in `parse_envelope`: what is not verified yet must have few parts.
    if len(data) > MAX_BYTES or sum(data.count(mark) for mark in (b"{", b"[", b",")) > _MOST_MARKS:
        return None
    try:
        found = strict_json(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
