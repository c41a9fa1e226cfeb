"""The report of an evaluation: what was measured on what, as it is kept, signed and shown."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rfc8785
from securesystemslib import dsse

from lazaretto.errors import ChangedFileError
from lazaretto.sources.keys import load_signer
from lazaretto.sources.statement import PAYLOAD_TYPE
from lazaretto.values import to_json

if TYPE_CHECKING:
    from lazaretto.models.measure import Calibration, Group
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

EVALUATION_TYPE = "urn:lazaretto:attestation:model-evaluation:v1"
_STATEMENT = "https://in-toto.io/Statement/v1"


@dataclass(frozen=True, slots=True)
class Report:
    """All that an evaluation measured.

    Attributes:
        registry: namespace of the registry.
        model: name of the model.
        version: its version.
        how: what answered: ``torch``, ``onnx``, ``function`` or ``predictions``.
        code: the user's function that loaded or ran it; None: there is none.
        artifact_digest: sha256 (hex) of the weights that were run; None: not known.
        test_set: sha256 (hex) of the test file.
        rows: of it.
        left_out: rows without a label.
        figures: what a policy can ask for, by name.
        classes: right answers by class.
        slices: right answers by slice.
        calibration: confidence held against what is right; None: it gives no probabilities.
        corruptions: share of right answers under each damage.
        attacks: share of right answers under each attack.
        epsilon: how far an attack might move a value; None: none was tried.
        canaries: how many canaries there were.
        canary_classes: right answers to them, by the class that must come.
        triggers: how many trigger canaries there were.
        compared_with: version that the answers were compared with.
        notes: what was not measured, and why.
    """

    registry: str
    model: str
    version: str
    how: str
    code: str | None
    artifact_digest: str | None
    test_set: str
    rows: int
    left_out: int
    figures: dict[str, float]
    classes: list[Group] = field(default_factory=list)
    slices: list[Group] = field(default_factory=list)
    calibration: Calibration | None = None
    corruptions: dict[str, float] = field(default_factory=dict)
    attacks: dict[str, float] = field(default_factory=dict)
    epsilon: float | None = None
    canaries: int = 0
    canary_classes: list[Group] = field(default_factory=list)
    triggers: int = 0
    compared_with: str | None = None
    notes: list[str] = field(default_factory=list)


def report_bytes(report: Report) -> bytes:
    """A report as it is kept: canonical JSON (RFC 8785)."""
    return rfc8785.dumps(to_json(report)) + b"\n"


def read_report(store: Store, file: StoredFile) -> dict[str, Any]:
    """A report that is on record, as JSON values.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    try:
        found = json.loads(store.read(file))
    except ValueError as error:
        raise ChangedFileError(file.path, expected=file.sha256, found="no report") from error
    return dict(found)


def sign_report(report: bytes, name: str, private_key: bytes) -> bytes:
    """Signs a report: a DSSE envelope around an in-toto statement that names its digest.

    Args:
        report: as it is kept.
        name: of the model version.
        private_key: PEM, as ``lazaretto source keygen`` gives it.

    Raises:
        UsageError: the key cannot be used.
    """
    said = json.loads(report)
    statement: dict[str, Any] = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": hashlib.sha256(report).hexdigest()}}],
        "predicateType": EVALUATION_TYPE,
        "predicate": {"testSet": said["test_set"], "figures": said["figures"]},
    }
    envelope = dsse.Envelope(rfc8785.dumps(statement), PAYLOAD_TYPE, {})
    envelope.sign(load_signer(private_key))
    return json.dumps(envelope.to_dict()).encode()
