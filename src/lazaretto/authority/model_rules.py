"""Which policies say what may be put in use of a model: those of all datasets it learned from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazaretto.authority.policies import policy_in_force
from lazaretto.dataset.models import ModelKey, find_model
from lazaretto.names import registry_name
from lazaretto.policy.promotion import ModelRules
from lazaretto.values import InputKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.dataset.models import KnownModel


@dataclass(frozen=True, slots=True)
class RulesOfDataset:
    """What the policy of one dataset says of models that learned from it.

    Attributes:
        dataset: its name; empty: no dataset has a policy, and the defaults count.
        meaning: sha256 (hex) of what the policy says; None: there is none.
        rules: its section.
    """

    dataset: str
    meaning: str | None
    rules: ModelRules = field(default_factory=ModelRules)


@dataclass(frozen=True, slots=True)
class Ancestry:
    """A model version, and the registered ones that it was made of.

    Attributes:
        models: each with all that its entries say, the one that was asked for first.
        missing: models that one of them was made of, and that nobody registered here.
    """

    models: list[KnownModel]
    missing: list[ModelKey]

    def snapshots(self) -> Iterator[tuple[str, str]]:
        """Dataset and version of each snapshot that one of them learned from, each once."""
        found = {
            (one.name, str(one.version))
            for model in self.models
            for one in model.inputs
            if one.kind is InputKind.SNAPSHOT and one.role.weighs
        }
        yield from sorted(found)


def ancestry(connection: Connection, key: ModelKey) -> Ancestry:
    """Follows a model version to the registered ones that it was made of, by the ledger.

    Args:
        connection: of the catalog.
        key: which one.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    models: list[KnownModel] = []
    missing: list[ModelKey] = []
    seen = {key}
    waiting = [key]
    while waiting:
        model = find_model(connection, asked := waiting.pop(0))
        if model is None:
            missing.append(asked)
            continue
        models.append(model)
        for one in model.inputs:
            if one.kind is not InputKind.MODEL or not one.role.weighs:
                continue
            parent = ModelKey(registry_name(one.namespace), one.name, str(one.version))
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return Ancestry(models, missing)


def rules_of(connection: Connection, datasets: Collection[str]) -> list[RulesOfDataset]:
    """What the policies in force of some datasets say of models, by dataset.

    Args:
        connection: of the catalog.
        datasets: their names.

    Returns:
        One for each dataset that has a policy; the defaults where none has.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
        PolicyError: another version of Lazaretto registered one, and this one cannot read it.
    """
    found = [(name, policy_in_force(connection, name)) for name in sorted(set(datasets))]
    told = [
        RulesOfDataset(name, policy.meaning, policy.rules.model)
        for name, policy in found
        if policy is not None
    ]
    return told or [RulesOfDataset("", None)]


def guarded_by(connection: Connection, key: ModelKey, alias: str) -> RulesOfDataset | None:
    """The policy by which only a promotion moves a name of a model; None: it moves freely.

    Args:
        connection: of the catalog.
        key: of the model version.
        alias: the name.

    Raises:
        ChangedStateError: as `rules_of`.
        PolicyError: likewise.
    """
    datasets = {dataset for dataset, _ in ancestry(connection, key).snapshots()}
    told = rules_of(connection, datasets)
    return next((one for one in told if alias in one.rules.aliases), None)
