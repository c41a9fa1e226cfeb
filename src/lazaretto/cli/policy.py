"""``lazaretto policy``: check a policy file, print the schema for editors."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lazaretto.cli.command import Needs, command
from lazaretto.cli.reply import Reply, facts
from lazaretto.cli.session import Session

if TYPE_CHECKING:
    from lazaretto.policy import Policy

app = typer.Typer(no_args_is_help=True, help="The rules by which a dataset's batches are judged.")


@command(app, "check", needs=Needs.NOTHING)
def check(
    _session: Session,
    file: Annotated[Path, typer.Argument(help="The policy, a YAML file")],
) -> Reply:
    """Check a policy: keys, values, detectors and their options, and that its contract loads."""
    from lazaretto.contract import load_contract
    from lazaretto.policy import Policy

    policy = Policy.load(file)
    contract = load_contract(policy.contract, base=file.resolve().parent)
    _check_detectors(policy)
    data = {
        "path": str(file),
        "sha256": policy.sha256,
        "dataset": policy.dataset,
        "reference": policy.screen.reference or policy.dataset,
        "contract": None if contract is None else contract.name,
        "detectors": {name: config.mode for name, config in policy.screen.detectors.items()},
        "false_quarantine_rate": policy.screen.false_quarantine_rate,
        "places": policy.sources.places,
    }
    places = policy.sources.places or ["none: operators will refuse, a shell reads files here"]
    shown = data | {
        "places": ", ".join(places),
        "detectors": ", ".join(f"{k} ({v.mode})" for k, v in policy.screen.detectors.items()),
    }
    return Reply(data, facts(shown, title="This policy is valid"))


@command(app, "schema", needs=Needs.NOTHING)
def schema(_session: Session) -> Reply:
    """Print the JSON schema of policies (always JSON), for editors and CI."""
    import json

    from rich.syntax import Syntax

    from lazaretto.policy import Policy

    document = Policy.model_json_schema()
    return Reply(
        document, Syntax(json.dumps(document, indent=2), "json", background_color="default")
    )


def _check_detectors(policy: "Policy") -> None:
    """Names always; options as far as torch, which the detectors are made of, is installed."""
    from lazaretto.detect.registry import detector_names, make_detector

    for name, config in policy.screen.detectors.items():
        if find_spec("torch") is not None or name not in detector_names():
            make_detector(name, config.options)
