"""Checks a bill of materials by CycloneDX's own schema, where the package for that is installed."""

from __future__ import annotations

from lazaretto.errors import UsageError
from lazaretto.text import excerpt


def check_bom(text: bytes) -> str | None:
    """What is wrong with a CycloneDX 1.6 document; None where it is valid.

    Args:
        text: the document, as JSON.

    Raises:
        UsageError: the extra ``bom`` is not installed.

    Examples:
        >>> from lazaretto.lineage import bom_bytes, model_bom
        >>> check_bom(bom_bytes(model_bom(workspace, "net", "1"))) is None
        True
    """
    try:
        from cyclonedx.exception import MissingOptionalDependencyException
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ImportError as error:
        raise UsageError(_MISSING) from error
    try:
        problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.decode())
    except MissingOptionalDependencyException as error:
        raise UsageError(_MISSING) from error
    return None if problem is None else excerpt(str(problem), 2_000)


_MISSING = "checking a bill of materials needs an extra: pip install 'lazaretto[bom]'"
