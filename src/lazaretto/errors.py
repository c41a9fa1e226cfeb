"""Errors that Lazaretto raises, by whose fault they are: caller, delivery or system.

The command line turns them into exit codes (2, 1 and 3); operators let them fail the task.
Messages say what is wrong, where, and how to mend it, and never carry a secret. They quote what
sources, files and libraries say, so each is made safe to show when it is made, wherever that is.
"""

from __future__ import annotations

from lazaretto.redact import safe_text


class LazarettoError(Exception):
    """Base of every error that Lazaretto raises on purpose.

    Args:
        message: for people. Kept as `lazaretto.redact.safe_text` gives it: control characters
            escaped, addresses without credentials, at most 8,000 characters.
    """

    def __init__(self, message: str) -> None:
        super().__init__(safe_text(message))


class UsageError(LazarettoError):
    """The caller's mistake: an argument, a policy, a missing reference. Exit code 2."""


class OvertakenError(UsageError):
    """What a person decided on has changed since they looked at it; nothing was decided."""


class PolicyError(UsageError):
    """The policy file is not valid; the message names file, line and key."""


class NotFoundError(UsageError):
    """Something was named that the catalog or the store does not have."""


class DeliveryError(LazarettoError):
    """The delivery is refused or cannot be read. Exit code 1.

    Attributes:
        code: stable machine-readable reason, such as ``unknown_key`` or ``replay``.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class AdmissionRefusedError(DeliveryError):
    """Judged records may not enter the dataset now; they stay where they are. Exit code 1.

    Attributes:
        code: stable machine-readable reason, such as ``revoked_key`` or ``other_policy``.
        dataset: that they may not enter.
        seq: ledger entry of the refusal, once it is on record.
    """

    def __init__(self, message: str, *, code: str, dataset: str) -> None:
        super().__init__(message, code=code)
        self.dataset = dataset
        self.seq: int | None = None


class OnHoldError(DeliveryError):
    """Somebody stopped this for an incident, and it is not lifted yet. Exit code 1.

    Attributes:
        code: ``source_on_hold``, ``publishing_on_hold`` or ``promotion_on_hold``.
    """


class PromotionRefusedError(DeliveryError):
    """A model version may not be put in use now; the name stays where it is. Exit code 1.

    Attributes:
        code: stable machine-readable reason, the first of them.
        reasons: all that speaks against it, each as code and words.
        seq: ledger entry of the refusal; None: it is not on record.
    """

    def __init__(
        self, message: str, *, reasons: list[tuple[str, str]], seq: int | None = None
    ) -> None:
        super().__init__(message, code=reasons[0][0])
        self.reasons = reasons
        self.seq = seq


class ReferenceMismatchError(UsageError):
    """A batch or policy does not fit the reference (encoder, width); says what differs."""


class DeletedPayloadError(UsageError):
    """Retention deleted the records that this asks for; findings and decisions remain. Exit code 2.

    Attributes:
        batch: whose records.
        path: of the file that is gone, relative to the store's root.
        deleted: when, in words.
    """

    def __init__(self, batch: str, path: str, deleted: str) -> None:
        super().__init__(
            f"the records of {batch} that this needs were {deleted}, as the policy in force said. "
            "What was found and decided is kept: `lazaretto batch show` and `lazaretto quarantine "
            f"show` tell it (file {path})"
        )
        self.batch = batch
        self.path = path
        self.deleted = deleted


class SystemFaultError(LazarettoError):
    """Store, catalog, network or machine: cannot be reached, is full, or has another version.

    Nobody who delivers or calls is to blame, and the same call may work later. Exit code 3.
    """


class NotArrivedError(SystemFaultError):
    """A delivery, its manifest or the place where it should be is not there (yet). Exit code 3.

    Nothing goes on record: a delivery that is late is no refusal, and may be received later.
    """


class OtherStoreError(SystemFaultError):
    """Catalog and store are not of one workspace; nothing of the store is used.

    Attributes:
        problem: what speaks against it, in words.
    """

    def __init__(self, catalog: str, store: str, problem: str) -> None:
        which = f" of the catalog {catalog}" if catalog else ""
        super().__init__(
            f"{store} is not the store{which}: {problem}. Give the right one with --store or "
            "LAZARETTO_STORE, the right catalog with --catalog or LAZARETTO_CATALOG_URL, or "
            "restore the one that is wrong from a backup"
        )
        self.problem = problem


class ChangedFileError(SystemFaultError):
    """A file of the store is gone, or is not the one that is on record; nothing of it is used.

    Attributes:
        path: of the file, relative to the store's root.
        expected: sha256 (hex) that is on record.
        found: what is there instead, in words.
    """

    def __init__(self, path: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"{path} in the store is not the file that is on record (sha256 {expected[:16]}…): "
            f"{found}. Nothing of it was used. Restore it from a backup, then do this again"
        )
        self.path = path
        self.expected = expected
        self.found = found


class ChangedStateError(SystemFaultError):
    """A row of the catalog does not say what its ledger entry says; nothing of it is used.

    Attributes:
        table: of the catalog.
        key: of the row, in words.
    """

    def __init__(self, table: str, key: str, problem: str) -> None:
        super().__init__(
            f"{table} {key} in the catalog was changed by hand: {problem}. Nothing of it was used. "
            "`lazaretto catalog check --deep` tells all such rows; restore the catalog"
        )
        self.table = table
        self.key = key


class ChangedDatasetError(SystemFaultError):
    """The Delta table of a dataset is not the one that is on record; nothing of it is used.

    It is gone, another one, shorter than what is on record, or somebody wrote to it around the
    gate.

    Attributes:
        dataset: its name.
        problem: what is there instead, in words.
        mend: what to do.
    """

    def __init__(self, dataset: str, problem: str, mend: str) -> None:
        super().__init__(
            f"the table of dataset {dataset!r} is not the one that is on record: {problem}. "
            f"Nothing of it was used. {mend}"
        )
        self.dataset = dataset
        self.problem = problem
        self.mend = mend


class LedgerError(LazarettoError):
    """The ledger's chain does not hold; the message names the first bad entry."""
