"""The pages of the Python API and of the operators, read from source without importing it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

_OPERATORS = (
    "ReceiveBatchOperator",
    "ValidateBatchOperator",
    "EmbedBatchOperator",
    "ScreenBatchOperator",
    "QuarantineGateOperator",
    "AdmitBatchOperator",
    "IngestBatchOperator",
    "AwaitReviewOperator",
    "SnapshotTrainingOperator",
    "SanitizeTrainingOperator",
    "RegisterModelOperator",
    "TraceIncidentOperator",
    "FlushLineageOperator",
)

_OPERATORS_HEAD = (Path(__file__).parent / "heads" / "operators.md").read_text("utf-8")

_PYTHON_HEAD = (Path(__file__).parent / "heads" / "python.md").read_text("utf-8")

_PYTHON = {
    "Policy and reference": {
        "policy/model.py": ["Policy"],
        "reference/_reference.py": ["Reference"],
    },
    "Screen and sanitize": {
        "screen/_screening.py": ["screen"],
        "screen/_result.py": ["Screening"],
        "activations/capture.py": ["capture"],
        "sanitize/procedure.py": ["sanitize"],
        "sanitize/result.py": ["Sanitization"],
        "activations/compare.py": ["compare", "Comparison"],
    },
    "Encoders": {
        "embed/hashing.py": ["fit_hashing"],
        "embed/tabular.py": ["fit_tabular"],
    },
    "Deliveries": {
        "batch.py": ["open_batch", "Batch"],
        "sources/keys.py": ["keygen"],
        "sources/manifest.py": ["sign_manifest", "verify_manifest"],
        "sources/registry.py": [
            "add_source",
            "add_key",
            "revoke_key",
            "get_source",
            "list_sources",
        ],
    },
    "Workspace": {"storage/workspace.py": ["open_workspace", "Workspace"]},
    "Stages": {
        "stages/receive.py": ["receive"],
        "stages/validate.py": ["validate"],
        "stages/embed.py": ["embed"],
        "stages/screen.py": ["screen"],
        "stages/gate.py": ["gate"],
        "stages/judgement.py": ["Judgement"],
        "stages/admit.py": ["admit"],
        "stages/snapshot.py": ["snapshot", "Snapshot"],
        "stages/register_model.py": ["register_model", "ModelVersion"],
        "stages/sanitize_training.py": ["sanitize_training"],
        "stages/retrain.py": ["retrain_and_compare"],
        "stages/sanitize_result.py": ["SanitizeResult", "Retraining"],
        "stages/results.py": ["StageResult"],
    },
    "Quarantine": {
        "quarantine/cases.py": [
            "list_cases",
            "show_case",
            "held_records",
            "count_records",
            "held_rows",
        ],
        "quarantine/review.py": ["decide", "undo", "expire", "list_decisions"],
        "quarantine/publish.py": ["publish"],
        "dataset/recall.py": ["recall"],
        "registry/fit_version.py": ["fit_version"],
        "registry/references.py": [
            "save_reference",
            "promote_reference",
            "load_reference",
            "list_references",
        ],
        "registry/changes.py": ["compare_versions"],
        "drift/source.py": ["source_steps", "Step"],
        "quarantine/triage.py": ["triage_of_case", "CaseTriage"],
    },
    "Ledger": {
        "ledger/chain.py": ["entries"],
        "ledger/verify.py": ["verify"],
        "ledger/report.py": ["LedgerReport", "LedgerProblem", "CheckedCheckpoint"],
        "ledger/note.py": ["read_verifier_key"],
        "ledger/signing.py": ["take_checkpoint", "TakenCheckpoint"],
        "ledger/browse.py": ["look_up", "Wanted", "StoredEntry"],
        "ledger/proving.py": ["prove_entry", "prove_extension"],
        "ledger/proof.py": ["check_proof", "read_proof", "ProofReport"],
    },
    "Values": {
        "values.py": ["Verdict", "Action", "TrustTier", "SignatureStatus", "Actor", "BatchRef"]
    },
    "Errors": {
        "errors.py": [
            "LazarettoError",
            "UsageError",
            "PolicyError",
            "NotFoundError",
            "DeliveryError",
            "ReferenceMismatchError",
            "SystemFaultError",
            "NotArrivedError",
            "LedgerError",
        ]
    },
}

_LINEAGE = {
    "trace/trace.py": ["trace_source", "trace_batch", "trace_record", "trace_model"],
    "trace/answer.py": ["Trace", "Completeness"],
    "trace/report.py": ["keep_report", "to_html"],
    "openlineage/emit.py": ["flush", "drain", "Bounds", "Drained"],
    "graph/index.py": ["catch_up"],
    "graph/ingest.py": ["ingest"],
    "openlineage/check.py": ["check"],
}

Definition = ast.ClassDef | ast.FunctionDef


def operators_page() -> str:
    """Renders the operators' page."""
    found = {d.name: d for path in (ROOT / "operators").glob("*.py") for d in _definitions(path)}
    parts = [_OPERATORS_HEAD]
    for name in _OPERATORS:
        parts += _entry(found[name], level="##")
    return "".join(parts)


def python_page() -> str:
    """Renders the page of the Python API."""
    parts = [_PYTHON_HEAD]
    for title, files in _PYTHON.items():
        parts.append(f"\n## {title}\n")
        for file, names in files.items():
            path = ROOT / "src/lazaretto" / file
            for name in names:
                parts += _entry(_find(path, name), level="###", module=_home(file, name))
    parts.append("\n## Lineage\n")
    for file, names in _LINEAGE.items():
        for name in names:
            found = _find(ROOT / "lineage" / file, name)
            parts += _entry(found, level="###", module="lazaretto.lineage")
    return "".join(parts)


def public_names() -> Iterator[tuple[str, str]]:
    """Module and name of everything on the page of the Python API."""
    for files in _PYTHON.values():
        for file, names in files.items():
            yield from ((_home(file, name), name) for name in names)


def _home(file: str, name: str) -> str:
    """Where to import it from: the package that shows it as public, else its own module."""
    package = ROOT / "src/lazaretto"
    for folder, module in (
        (package, "lazaretto"),
        ((package / file).parent, "lazaretto." + file.split("/", 1)[0]),
    ):
        if f'"{name}"' in (folder / "__init__.py").read_text("utf-8"):
            return module
    return "lazaretto." + file.removesuffix(".py").replace("/", ".")


def _find(path: Path, name: str) -> Definition:
    """The definition of a name: in its module, in its package, or in a private module beside it."""
    inside = sorted(path.with_suffix("").glob("*.py"))
    for file in (path, *inside, *sorted(path.parent.glob("_*.py"))):
        for found in _definitions(file) if file.exists() else ():
            if found.name == name:
                return found
    raise LookupError(f"{path} and its neighbours do not define {name!r}: change docs/generate")


def _definitions(path: Path) -> Iterator[Definition]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, Definition):
            yield node


def _entry(node: Definition, *, level: str, module: str = "") -> Iterator[str]:
    yield f"\n{level} {node.name}\n\n"
    if module:
        yield f"`{module}`\n\n"
    signature = _signature(node)
    if signature:
        yield f"```python\n{signature}\n```\n\n"
    yield _markdown(ast.get_docstring(node) or "") + "\n"
    if isinstance(node, ast.ClassDef) and not level.startswith("####") and module:
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                yield from _entry(method, level=level + "#")


def _signature(node: Definition) -> str:
    function: Definition | None = node
    if isinstance(node, ast.ClassDef):
        function = next((n for n in node.body if getattr(n, "name", "") == "__init__"), None)
    if not isinstance(function, ast.FunctionDef) or _is_property(function):
        return ""
    listed = _parameters(function.args)
    result = f" -> {ast.unparse(function.returns)}" if node is function and function.returns else ""
    flat = f"{node.name}({', '.join(listed)}){result}"
    if len(flat) <= 100:
        return flat
    return "\n    ".join([f"{node.name}(", *(f"{one}," for one in listed)]) + f"\n){result}"


def _parameters(arguments: ast.arguments) -> list[str]:
    """Each parameter as it is written, with its default."""
    unset = [None] * (len(arguments.args) - len(arguments.defaults))
    named = list(zip(arguments.args, [*unset, *arguments.defaults], strict=True))
    listed = [_parameter(a, default) for a, default in named if a.arg not in ("self", "cls")]
    if arguments.kwonlyargs:
        listed.append("*")
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return listed + [_parameter(a, default) for a, default in keywords]


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    text = ast.unparse(argument)
    if default is None:
        return text
    equals = " = " if argument.annotation else "="
    return text + equals + ast.unparse(default)


def _is_property(function: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "property" for d in function.decorator_list)


def _markdown(docstring: str) -> str:
    """Google docstring to Markdown: sections become lists."""
    lines: list[str] = []
    section = ""
    for line in docstring.splitlines():
        heading = re.fullmatch(r"(Args|Returns|Raises|Attributes|Yields):", line)
        if heading:
            section = heading.group(1)
            lines += [f"**{'Arguments' if section == 'Args' else section}**", ""]
        elif section and re.match(r"    \S", line):
            item = re.match(r"    ([\w*.]+): ?(.*)", line)
            lines.append(f"* `{item[1]}`: {item[2]}" if item else f"* {line.strip()}")
        elif section and line.startswith("     "):
            lines.append("  " + line.strip())
        else:
            section = "" if line.strip() else section
            lines.append(line)
    return "\n".join(lines).replace("``", "`")
