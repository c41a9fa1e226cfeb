"""The pages of the Python API, the operators and the detectors, from source, without importing it.

griffe reads source and docstrings, as mkdocstrings does; this turns them into plain Markdown, which
reads well without a site. Long: the lists say what is public.
"""

from __future__ import annotations

import inspect
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import griffe

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
    "screened_ingest",
    "ScreenedOperator",
    "AwaitDeliveryOperator",
    "AwaitReviewOperator",
    "AskForReviewOperator",
    "SnapshotTrainingOperator",
    "SanitizeTrainingOperator",
    "RegisterModelOperator",
    "OpenIncidentOperator",
    "TraceIncidentOperator",
    "FlushLineageOperator",
    "MaintainDatasetOperator",
    "QuarantineNotifier",
)

_OPERATORS_HEAD = (Path(__file__).parent / "heads" / "operators.md").read_text("utf-8")

_PYTHON_HEAD = (Path(__file__).parent / "heads" / "python.md").read_text("utf-8")

_DETECTORS_HEAD = (Path(__file__).parent / "heads" / "detectors.md").read_text("utf-8")

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
        "attribution/procedure.py": ["attribute"],
        "attribution/inputs.py": ["Training", "Queries"],
        "attribution/result.py": ["Attribution", "SourceShare", "BatchShare", "Planted"],
    },
    "Encoders": {
        "embed/hashing.py": ["fit_hashing"],
        "embed/tabular.py": ["fit_tabular"],
        "embed/denoising.py": ["fit_denoising"],
        "embed/contrastive.py": ["fit_contrastive"],
        "embed/contrastive_text.py": ["fit_contrastive_text"],
        "embed/contrast.py": ["nt_xent"],
    },
    "Training": {
        "training/data.py": ["training_data", "TrainingData", "TrainingBatch"],
        "training/objectives.py": [
            "huber",
            "tukey_biweight",
            "generalised_cross_entropy",
            "trimmed",
            "weighted_mean",
            "penalty",
        ],
        "training/groups.py": ["GroupDRO", "capped_losses"],
        "training/augment.py": ["mixup", "cutmix", "shifted_crop", "noisy"],
        "training/adversarial.py": [
            "Adversary",
            "perturb",
            "adversarial_batch",
            "free_steps",
            "curriculum",
        ],
        "training/partition.py": ["partition_records", "partition_sources", "spread_parts"],
        "training/votes.py": ["plurality", "finite_aggregation", "Certified"],
        "training/runoff.py": ["run_off"],
        "training/recorder.py": ["record_dynamics", "DynamicsRecorder"],
        "sanitize/dynamics.py": ["Dynamics", "read_dynamics"],
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
        "stages/deliver.py": ["deliver", "Delivered"],
        "stages/receive.py": ["receive"],
        "stages/validate.py": ["validate"],
        "stages/embed.py": ["embed"],
        "stages/screen.py": ["screen"],
        "stages/gate.py": ["gate"],
        "stages/judgement.py": ["Judgement"],
        "stages/judge_with.py": ["judge_with"],
        "stages/gx_action.py": ["QuarantineAction"],
        "stages/admit.py": ["admit"],
        "stages/snapshot.py": ["snapshot"],
        "stages/taken.py": ["open_snapshot", "Snapshot"],
        "stages/export.py": ["export", "Export"],
        "stages/registering.py": ["register_model"],
        "stages/register_model.py": ["ModelVersion"],
        "stages/alias_model.py": ["alias_model", "list_aliases", "Alias"],
        "stages/models.py": ["list_models", "show_model"],
        "stages/sanitize_training.py": ["sanitize_training"],
        "stages/retrain.py": ["retrain_and_compare"],
        "stages/sanitize_result.py": ["SanitizeResult", "Retraining"],
        "stages/trace_prediction.py": ["trace_prediction", "PredictionTrace"],
        "stages/query_rows.py": ["Network", "Captured"],
        "stages/results.py": ["StageResult"],
    },
    "Quarantine": {
        "quarantine/cases.py": ["list_cases", "show_case", "Case"],
        "quarantine/inbox.py": ["facets", "Facets"],
        "quarantine/records.py": ["held_records", "count_records", "held_rows", "HeldRecord"],
        "quarantine/handling.py": ["assign", "comment", "list_comments"],
        "quarantine/export.py": ["export_case"],
        "quarantine/importing.py": ["read_decisions", "import_decisions"],
        "quarantine/approve.py": ["approve"],
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
        "quarantine/map.py": ["map_of_case", "EmbeddingMap"],
        "quarantine/score_histogram.py": ["score_histogram", "ScoreHistogram"],
    },
    "Model gate": {
        "models/promote.py": ["promote", "Promoted"],
        "models/take_back.py": ["demote", "rollback", "last_clean"],
        "models/examine.py": ["examine", "Examination"],
        "models/past.py": ["past_moves", "PastMove"],
        "models/evaluate.py": ["evaluate_file", "evaluate_model", "Evaluated"],
        "models/figures.py": ["Asked"],
        "models/open_model.py": ["ModelSource"],
        "drill/run.py": ["run_drill", "Drill"],
        "drill/past.py": ["past_drills", "PastDrill"],
    },
    "Incidents": {
        "incidents/life.py": [
            "open_incident",
            "assign",
            "note",
            "refresh",
            "Refreshed",
            "link_action",
            "close",
        ],
        "incidents/holding.py": ["place_hold", "lift_hold"],
        "incidents/recorded.py": ["get_incident", "list_incidents", "Incident"],
        "incidents/overview.py": ["show_incident", "Overview"],
        "incidents/difference.py": ["difference", "Difference"],
        "incidents/announce.py": ["news_of", "record_announced", "News"],
    },
    "Watching": {
        "stages/source_counts.py": ["list_overviews", "SourceCounts"],
        "stages/sources.py": ["show_source", "SourceView", "drift_of_source", "SourceDrift"],
        "stages/gates.py": ["list_gates", "show_gate", "Gate"],
        "stages/explore.py": ["explore_rates", "Exploration"],
        "stages/outcomes.py": ["RateOutcome"],
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
    "trace/questions.py": [
        "trace_key",
        "trace_policy",
        "trace_reference",
        "trace_decision",
        "trace_dataset",
    ],
    "trace/answer.py": ["Trace", "UnknownModel", "Completeness"],
    "trace/conclusion.py": ["conclusion"],
    "trace/schema.py": ["trace_schema"],
    "trace/report.py": ["keep_report", "to_html"],
    "trace/proof.py": ["prove", "Proof"],
    "openlineage/emit.py": ["flush", "drain", "Bounds", "Drained"],
    "graph/index.py": ["catch_up"],
    "claims/intake.py": ["ingest"],
    "openlineage/check.py": ["check", "facet_schemas"],
    "from_mlflow.py": ["import_mlflow", "Imported"],
    "bom/make.py": ["model_bom", "bom_bytes"],
    "bom/check.py": ["check_bom"],
    "bom/card.py": ["model_card", "Card"],
    "bom/card_text.py": ["card_markdown", "card_html"],
}

Definition = griffe.Class | griffe.Function
_SECTIONS = {
    "parameters": "Arguments",
    "attributes": "Attributes",
    "returns": "Returns",
    "yields": "Yields",
    "raises": "Raises",
}


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


def detectors_page() -> str:
    """Renders the page of the detectors: what each sees, and its options in a policy."""
    from lazaretto.detect.registry import built_in

    parts = [_DETECTORS_HEAD]
    for name, target in sorted(built_in().items()):
        module, _, cls = target.partition(":")
        path = (ROOT / "src" / Path(*module.split("."))).with_suffix(".py")
        parts += _detector(name, _find(path, cls))
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


@cache
def _definitions(path: Path) -> list[Definition]:
    module = griffe.visit(
        path.stem,
        filepath=path,
        code=path.read_text("utf-8"),
        docstring_parser=griffe.Parser.google,
        docstring_options={"warnings": False},  # a class's docstring has its __init__'s arguments
    )
    return [member for member in module.members.values() if isinstance(member, Definition)]


def _entry(node: griffe.Object, *, level: str, module: str = "") -> Iterator[str]:
    yield f"\n{level} {node.name}\n\n"
    if module:
        yield f"`{module}`\n\n"
    signature = _signature(node)
    if signature:
        yield f"```python\n{signature}\n```\n\n"
    yield _markdown(node) + "\n"
    if isinstance(node, griffe.Class) and not level.startswith("####") and module:
        for method in node.members.values():
            shown = isinstance(method, griffe.Function) or "property" in method.labels
            if shown and method.is_public and method.docstring and not method.is_alias:
                yield from _entry(method, level=level + "#")


def _signature(node: griffe.Object) -> str:
    function = node
    if isinstance(node, griffe.Class):
        made = node.members.get("__init__")
        if not isinstance(made, griffe.Function):
            return ""
        function = made
    if not isinstance(function, griffe.Function):
        return ""
    listed = list(_parameters(function))
    returns = "" if function is not node or function.returns is None else f" -> {function.returns}"
    flat = f"{node.name}({', '.join(listed)}){returns}"
    if len(flat) <= 100:
        return flat
    return "\n    ".join([f"{node.name}(", *(f"{one}," for one in listed)]) + f"\n){returns}"


def _parameters(function: griffe.Function) -> Iterator[str]:
    """Each parameter as it is written, with its default."""
    starred = False
    for parameter in function.parameters:
        if parameter.name in ("self", "cls"):
            continue
        kind = parameter.kind
        if kind is griffe.ParameterKind.keyword_only and not starred:
            starred = True
            yield "*"
        star = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
        starred = starred or kind is griffe.ParameterKind.var_positional
        text = star.get(kind, "") + parameter.name
        if parameter.annotation is not None:
            text += f": {parameter.annotation}"
        if parameter.default is None or kind in star:
            yield text
        else:
            yield f"{text}{' = ' if parameter.annotation is not None else '='}{parameter.default}"


def _markdown(node: griffe.Object) -> str:
    """A Google docstring as Markdown: sections become lists, examples become code."""
    parts = []
    for section in node.docstring.parsed if node.docstring else ():
        if section.kind.value == "text":
            parts.append(_plain(section.value))
        elif section.kind.value == "examples":
            parts += ["**Examples**", *(f"```pycon\n{text}\n```" for _, text in section.value)]
        else:
            title = _SECTIONS[section.kind.value]
            parts.append(f"**{title}**\n\n" + "\n".join(_item(item) for item in section.value))
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Markdown has one backtick where docstrings may have two."""
    return text.replace("``", "`")


def _item(item: griffe.DocstringElement) -> str:
    named = getattr(item, "name", "") or (item.annotation if _raises(item) else "")
    text = _plain(item.description).replace("\n", "\n  ")
    return f"* `{named}`: {text}" if named else f"* {text}"


def _raises(item: griffe.DocstringElement) -> bool:
    return isinstance(item, griffe.DocstringRaise)


def _detector(name: str, node: Definition) -> Iterator[str]:
    """A detector's section: what it is after, and a table of its options."""
    from lazaretto.detect import make_detector

    yield f"\n## {name}\n\n"
    described = {}
    for section in node.docstring.parsed if node.docstring else ():
        if section.kind.value == "text":
            yield section.value.replace("``", "`") + "\n\n"
        elif section.kind.value == "parameters":
            described = {item.name: " ".join(item.description.split()) for item in section.value}
    detector = make_detector(name)
    yield f"Needs: {' and '.join(f'`{need}`' for need in sorted(detector.requires))}.\n\n"
    options = inspect.signature(type(detector)).parameters.values()
    if not options:
        yield "It has no options.\n"
        return
    yield "| option | type | default | meaning |\n|---|---|---|---|\n"
    for option in options:
        kind = re.sub(r"Literal\[(.*)\]", r"\1", str(option.annotation).strip("'\""))
        kind = kind.replace("|", "or").replace(",", " or").replace("'", "`")
        default = f"`{json.dumps(option.default)}`"
        text = described[option.name].replace("|", "\\|").replace("``", "`")
        yield f"| `{option.name}` | {kind} | {default} | {text} |\n"
