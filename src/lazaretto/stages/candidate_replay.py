"""Tries a whole policy, as text, on the last batches: for a page, while somebody waits.

Whoever may decide on a dataset gives the text, to a server that others share. So it names no file,
no code and no model, except for those of the policy in force; and of these nothing is loaded: what
they found is taken from the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.authority.policies import policy_in_force
from lazaretto.errors import NotFoundError, PolicyError, UsageError
from lazaretto.policy import Policy
from lazaretto.policy.contract import ContractForms, Rules
from lazaretto.policy.file import parse_yaml
from lazaretto.stages.check_policy import check_policy, check_reference
from lazaretto.stages.judged import require_name
from lazaretto.stages.policy_replay import NOTES, judge_again, require_known
from lazaretto.stages.rate_replay import (
    SCREENED_AGAIN,
    Bounds,
    for_the_record,
    judged_again,
    screen_again,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.authority.policies import Registered
    from lazaretto.policy.file import YamlFile
    from lazaretto.stages.policy_replay import PolicyReplay
    from lazaretto.storage.workspace import Workspace

_BEFORE_SCREENING = {
    "columns",
    "contract",
    "cleaning",
    "sources",
    "read",
    "evolve",
    "limits",
    "embed",
}
"""Sections that receipt, contract findings and vectors depend on."""
_WITHOUT_CODE = (
    "column",
    "contrastive_text",
    "denoising",
    "hashing",
    "instruction",
    "tabular",
)
_ELSEWHERE = "`lazaretto policy replay FILE` tries it"


def replay_candidate(
    workspace: Workspace,
    dataset: str,
    text: str,
    *,
    batches: int,
    most_records: int,
    seconds: float,
) -> PolicyReplay:
    """Judges the last batches of a dataset again by another policy; compares, and changes nothing.

    The policy is checked as ``lazaretto policy check`` does. Where it differs from the policy in
    force only behind the vectors, screening and gate run again, from the findings and vectors on
    record. Else every stage runs again, from the delivery that was kept.

    Args:
        workspace: catalog and store; only read.
        dataset: its name.
        text: the policy's YAML.
        batches: the last so many that were judged for it.
        most_records: leave out the older ones of them once they have more records together.
        seconds: begin with no further batch after so long.

    Raises:
        NotFoundError: no policy is in force for such a dataset, or there is no such reference.
        PolicyError: it is no policy of this dataset, `policy check` would refuse it, or it names
            what is not loaded here; with the line.
        UsageError: nothing can be judged by it yet.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> import json
        >>> rules = {"rules": {"columns": {"label": {"type": "integer", "max": 5}}}}
        >>> text = json.dumps(policy.model_dump(mode="json") | {"contract": rules})
        >>> found = replay_candidate(
        ...     workspace, "reviews", text, batches=9, most_records=1000, seconds=60
        ... )
        >>> len(found.batches)
        2
    """
    require_name(dataset)
    said = parse_yaml(text.encode(), "the candidate", "a policy")
    if said.content.get("extends") is not None:
        raise said.mistake(
            ("extends",),
            "no other file is read here: give what `lazaretto policy show FILE --merged` prints",
        )
    policy = said.validated(Policy).loaded_from(said.name, said.sha256, said.lines)
    # Whoever asks a page may not have its server start work elsewhere; and it changes no result.
    policy = policy.model_copy(update={"engine": "local"})
    if policy.dataset != dataset:
        raise said.mistake(("dataset",), f"this is the gate of {dataset!r}")
    with workspace.catalog.read() as connection:
        in_force = policy_in_force(connection, dataset)
    if in_force is None:
        raise NotFoundError(f"no policy is in force for dataset {dataset!r}")
    bounds = Bounds(batches, most_records, seconds)
    if _goes_on(policy, in_force):
        candidate = for_the_record(policy, in_force)
        by, notes = screen_again, SCREENED_AGAIN
        check_policy(candidate, files=False)
    else:
        found = [*_not_loaded(policy, said), *_loosened(policy, in_force, said)]
        if found:
            raise PolicyError("\n".join(map(str, found)))
        check_policy(policy)
        require_known(policy)
        # Relative places start where those of the policy in force do.
        beside = in_force.event.policy.path or said.name
        candidate = policy.loaded_from(beside, said.sha256, said.lines)
        by, notes = judge_again, NOTES
    missing = check_reference(workspace, candidate)
    if missing is not None:
        raise UsageError(missing)
    return judged_again(workspace, dataset, lambda _: candidate, bounds, by=by, notes=notes)


def _goes_on(policy: Policy, in_force: Registered) -> bool:
    """Whether what is on record up to the vectors is what this policy would find."""
    mine, theirs = (
        one.model_dump(mode="json", include=_BEFORE_SCREENING) for one in (policy, in_force.rules)
    )
    return mine == theirs


def _not_loaded(policy: Policy, said: YamlFile) -> Iterator[PolicyError]:
    """What would be read from this machine, or run."""
    contract = policy.contract
    rules = contract.rules if isinstance(contract, ContractForms) else None
    if contract is not None and not isinstance(rules, Rules):
        message = f"only rules that stand in the policy itself are judged here; {_ELSEWHERE}"
        yield said.mistake(("contract",), message)
    for name, column in rules.columns.items() if isinstance(rules, Rules) else ():
        if column.exists_in is not None and column.exists_in.file is not None:
            place = ("contract", "rules", "columns", name, "exists_in", "file")
            yield said.mistake(place, f"no file is read here; {_ELSEWHERE}")
    embed = policy.embed
    if embed.encoder not in _WITHOUT_CODE:
        message = f"{embed.encoder!r} loads a model, which is not done here; {_ELSEWHERE}"
        yield said.mistake(("embed", "encoder"), message)
    elif embed.model not in (None, "reference"):
        yield said.mistake(("embed", "model"), f"no file is read here; {_ELSEWHERE}")
    if embed.options.get("base") is not None:
        message = f"it names a model, which is not loaded here; {_ELSEWHERE}"
        yield said.mistake(("embed", "options", "base"), message)
    if "replay" in embed.options:
        message = f"it names code, which is not loaded here; {_ELSEWHERE}"
        yield said.mistake(("embed", "options", "replay"), message)


def _loosened(policy: Policy, in_force: Registered, said: YamlFile) -> Iterator[PolicyError]:
    """Limits that a delivery may not exceed on a server that others share."""
    mine, theirs = policy.limits.model_dump(), in_force.rules.limits.model_dump()
    for name, most in theirs.items():
        if mine[name] > most:
            message = f"at most {most:,} here, as the policy in force says; {_ELSEWHERE}"
            yield said.mistake(("limits", name), message)
