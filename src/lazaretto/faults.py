"""What an error of a foreign library means: errors of drivers that nobody here imports.

Each driver of a store or a network has its own exceptions (botocore's, aiohttp's, azure's, gcsfs's,
Delta's object_store). They are told apart by what they have in common: their standard base class,
a status of HTTP, a code of S3, an errno of the system.
"""

from __future__ import annotations

import errno
import re
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from lazaretto.errors import LazarettoError, SystemFaultError
from lazaretto.redact import error_line, safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator

# Mistakes in code, here or in a driver: to call them a fault of the network would hide them.
_BUGS = (TypeError, AttributeError, NameError, AssertionError, IndexError)
_MISSING_CODES = frozenset({"NoSuchKey", "NoSuchBucket", "NotFound", "404", "BlobNotFound"})
_DENIED_CODES = frozenset({"AccessDenied", "Forbidden", "403", "401", "InvalidAccessKeyId"})
_MACHINE = frozenset(
    {
        errno.EIO,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENODEV,
        errno.ENXIO,
        errno.EBUSY,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
    }
)

# Between an error of Rust's and its cause there is an arrow, in colour.
_NEXT_CAUSE = re.compile(r"(?:\x1b\[[0-9;]*m|\s)*(?:\u21b3|->)(?:\x1b\[[0-9;]*m|\s)*")
_MOST_CAUSES = 5
_LONGEST_CAUSES = 600


class Kind(Enum):
    """What a foreign error says of the thing that was asked for."""

    MISSING = "it is not there"
    DENIED = "access to it is denied"
    OTHER = "something else is wrong"


def kind_of(error: BaseException) -> Kind:
    """What an error of any driver says, by its class, its code or its status."""
    if isinstance(error, FileNotFoundError):
        return Kind.MISSING
    if isinstance(error, PermissionError):
        return Kind.DENIED
    code = _code_of(error)
    if code in _MISSING_CODES:
        return Kind.MISSING
    return Kind.DENIED if code in _DENIED_CODES else Kind.OTHER


def is_of_machine(error: BaseException) -> bool:
    """Whether an error about a private local file is this machine's: no content can cause it.

    What a damaged file can make a library ask for (a negative position, too much memory) has other
    numbers.
    """
    return isinstance(error, OSError) and error.errno in _MACHINE


@contextmanager
def as_system_fault(doing: str) -> Iterator[None]:
    """What goes wrong inside is the fault of a store, a network or this machine.

    Put as little as possible inside: only calls of the driver.

    Args:
        doing: what cannot be done, as the beginning of the message: ``cannot read 'x' in …``.

    Raises:
        SystemFaultError: instead of any error of a driver; errors of Lazaretto pass.
    """
    try:
        yield
    except (LazarettoError, *_BUGS):
        raise
    except Exception as error:
        raise SystemFaultError(f"{doing}: {error_line(error)}") from error


def causes_line(error: BaseException) -> str:
    """An error that has its chain of causes in its text, such as Delta's, in one line.

    Args:
        error: any error; of more than five causes the first and the last four are told.
    """
    causes = [" ".join(part.split()) for part in _NEXT_CAUSE.split(str(error))]
    kept = causes if len(causes) <= _MOST_CAUSES else [causes[0], *causes[1 - _MOST_CAUSES :]]
    return f"{type(error).__name__}: {safe_text(': '.join(kept), limit=_LONGEST_CAUSES)}"


def _code_of(error: BaseException) -> str:
    """A code of S3 or a status of HTTP, as text; empty: the error has none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's
        details = response.get("Error")
        return str(details.get("Code", "")) if isinstance(details, dict) else ""
    for name in ("status", "status_code", "code"):  # aiohttp's, azure's, gcsfs's
        if isinstance(found := getattr(error, name, None), int):
            return str(found)
    return ""


_EXTRA_OF = {
    "torch": "detect",
    "sklearn": "detect",
    "faiss": "detect",
    "safetensors": "detect",
    "airflow": "airflow",
    "psycopg": "postgres",
    "great_expectations": "gx",
    "sentence_transformers": "text",
    "PIL": "images",
    "mlflow": "mlflow",
}


def how_to_install(error: ModuleNotFoundError) -> str:
    """The command that installs what is missing."""
    package = (error.name or "").split(".")[0]
    return f"pip install 'lazaretto[{_EXTRA_OF.get(package, 'all')}]'"
