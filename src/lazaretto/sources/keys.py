"""Keys that sign manifests: made, read from PEM, and named by their own hash."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

# securesystemslib does not list what it exports.
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]

from lazaretto.errors import UsageError

SCHEMES = ("ed25519", "ecdsa-sha2-nistp256")


def keygen() -> tuple[bytes, bytes]:
    """Makes an Ed25519 key pair.

    Returns:
        Private key (PKCS 8, not encrypted: store it as a secret) and public key, both PEM.

    Examples:
        >>> private, public = keygen()
        >>> public.splitlines()[0]
        b'-----BEGIN PUBLIC KEY-----'
    """
    private = Ed25519PrivateKey.generate()
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


def key_identity(public_pem: bytes | str) -> tuple[str, str]:
    """Key id and scheme of a public key in PEM; the id is a hash of the key, so nobody chooses it.

    Raises:
        UsageError: no PEM public key, or of another kind than `SCHEMES`.
    """
    key = load_public_key(public_pem)
    return key.keyid, key.scheme


def load_public_key(pem: bytes | str) -> SSlibKey:
    """Reads a public key in PEM.

    Raises:
        UsageError: it is none, or of another kind than `SCHEMES`.
    """
    data = pem.encode() if isinstance(pem, str) else pem
    try:
        key = SSlibKey.from_crypto(load_pem_public_key(data))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError("this is no public key in PEM (-----BEGIN PUBLIC KEY-----)") from error
    if key.scheme not in SCHEMES:
        raise UsageError(f"keys of kind {key.scheme} are not accepted; use one of {SCHEMES}")
    return key


def load_signer(private_pem: bytes) -> CryptoSigner:
    """Reads a private key in PEM (PKCS 8, without a password); its text never enters an error.

    Raises:
        UsageError: it is none, or of another kind than `SCHEMES`.
    """
    try:
        signer = CryptoSigner(load_pem_private_key(private_pem, password=None))
    # The cause could quote key material, so it is not chained.
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(
            "this is no private key that can be used: PEM, PKCS 8, without a password"
        ) from None
    if signer.public_key.scheme not in SCHEMES:
        raise UsageError(f"keys of kind {signer.public_key.scheme} are not accepted: {SCHEMES}")
    return signer
