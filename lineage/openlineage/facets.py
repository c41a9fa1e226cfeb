"""Lazaretto's own OpenLineage facets, as the schemas in ``schemas/lazaretto`` define them."""

# ruff: noqa: N815  the field names are the specification's

from __future__ import annotations

from typing import Any

import attr
from openlineage.client.facet_v2 import DatasetFacet, RunFacet

FACETS_URN = "urn:lazaretto:facet:1-0-0"
"""What names the schemas. The project owns no domain that an address could be under, and an address
that somebody else may buy would one day give readers another schema. A URN only says which one."""


def schema_url(name: str) -> str:
    """Immutable name of a facet's schema, which `lineage check` finds in the installed package.

    Args:
        name: class of the facet.
    """
    return f"{FACETS_URN}:{name}#/$defs/{name}"


@attr.define
class LazarettoSourceDatasetFacet(DatasetFacet):
    """Who a batch came from, and whether its signed manifest verified. Key ``lazaretto_source``.

    Attributes:
        sourceId: name of the source.
        signature: ``status`` (see `lazaretto.values.SignatureStatus`), ``keyId``, ``scheme``,
            ``envelopeUri``, ``envelopeDigest``.
        trustTier: tier in force when the batch arrived.
        collectedFrom: start (included) of the interval in which the source made the data, ISO 8601.
        collectedTo: its end (excluded).
        receivedAt: when the delivery arrived.
    """

    sourceId: str
    signature: dict[str, Any]
    trustTier: str | None = None
    collectedFrom: str | None = None
    collectedTo: str | None = None
    receivedAt: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return schema_url("LazarettoSourceDatasetFacet")


@attr.define
class LazarettoArtifactDatasetFacet(DatasetFacet):
    """Content address of exactly one version of a dataset. Key ``lazaretto_artifact``.

    Attributes:
        kind: BATCH, SNAPSHOT, QUARANTINE, MODEL or SIDECAR.
        artifactId: equals the `version` facet.
        digest: algorithm to lowercase hex.
        recordCount: records in this version.
        members: ``count``, ``complete`` (the run's inputs name all of them) and at most 200
            ``ids`` of what it was built from; of a snapshot that builds on an earlier one, those
            that changed since.
    """

    kind: str
    artifactId: str
    digest: dict[str, str]
    recordCount: int | None = None
    members: dict[str, Any] | None = None

    @staticmethod
    def _get_schema() -> str:
        return schema_url("LazarettoArtifactDatasetFacet")


@attr.define
class LazarettoDecisionRunFacet(RunFacet):
    """One decision on one or more artifacts. Key ``lazaretto_decision``.

    Attributes:
        decisionId: id in the catalog, or the run id where a policy or service decided.
        decision: what was decided, such as QUARANTINED or RELEASED.
        artifacts: ids of what it was about, at most 200.
        actor: ``type`` (POLICY, HUMAN, OS_USER, SERVICE) and ``id``.
        policy: ``id``, ``version`` and ``digest`` of the policy in force.
        reason: free text.
        records: ``total``, ``released``, ``quarantined``, ``rejected``.
        verdict: of screening or gate.
        case: case of the review.
        supersedes: decision that this one undoes.
    """

    decisionId: str
    decision: str
    artifacts: list[str]
    actor: dict[str, str]
    policy: dict[str, Any] | None = None
    reason: str | None = None
    records: dict[str, int] | None = None
    verdict: str | None = None
    case: str | None = None
    supersedes: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return schema_url("LazarettoDecisionRunFacet")


@attr.define
class LazarettoTrainingRunFacet(RunFacet):
    """Exactly which versions a training run read, and in which role. Key ``lazaretto_training``.

    Attributes:
        purpose: PRETRAIN, TRAIN, FINETUNE or EVAL.
        consumed: ``namespace``, ``name``, ``role`` and, where they are known, ``version`` and
            ``recordCount`` of each input.
        externalRunId: run id in an experiment tracker.
        paramsDigest: digest of the hyper-parameters' canonical JSON.
        seed: seed of the run.
    """

    purpose: str
    consumed: list[dict[str, Any]]
    externalRunId: str | None = None
    paramsDigest: dict[str, str] | None = None
    seed: int | None = None

    @staticmethod
    def _get_schema() -> str:
        return schema_url("LazarettoTrainingRunFacet")


@attr.define
class LazarettoIntegrityRunFacet(RunFacet):
    """Which ledger entry an event projects. Key ``lazaretto_integrity``.

    Attributes:
        chainUid: id of the ledger.
        seq: position of the entry, from 1.
        fingerprint: the entry's hash, hex.
        prevFingerprint: hash of the entry before.
        serialization: canonical form that was hashed.
        algorithm: hash function.
    """

    chainUid: str
    seq: int
    fingerprint: str
    prevFingerprint: str
    serialization: str = "JCS"
    algorithm: str = "sha256"

    @staticmethod
    def _get_schema() -> str:
        return schema_url("LazarettoIntegrityRunFacet")
