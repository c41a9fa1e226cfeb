"""What a checkpoint of Great Expectations found, as a contract to judge the same records by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lazaretto.contract._gx_suite import Suite, make_suite
from lazaretto.contract._load import Contract
from lazaretto.errors import UsageError
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from lazaretto.contract._report import ContractReport


@dataclass(frozen=True, slots=True)
class Told:
    """One validation of a checkpoint.

    Attributes:
        suite: name of its suite.
        asset: name of what it looked at.
        path: of the file that it read; None: it read none.
        entries: its expectations that can be run on a table in memory.
        failed: places in `entries` of those that are not met and hold.
        elsewhere: in words, those that are not met and can only be run where they were.
        expectations: how many there are.
    """

    suite: str
    asset: str
    path: str | None
    entries: tuple[dict[str, Any], ...]
    failed: tuple[int, ...]
    elsewhere: tuple[str, ...]
    expectations: int

    @property
    def fails(self) -> bool:
        """Whether anything that holds is not met."""
        return bool(self.failed or self.elsewhere)

    def contract(self) -> Contract | None:
        """The expectations as a contract; None where none can be run."""
        if not self.entries:
            return None
        name = f"gx: {self.suite}"
        return Contract(name, suite=_suite(list(self.entries), name))

    def compared(self, report: ContractReport, contract: Contract | None) -> ContractReport:
        """A report on the batch, with what the checkpoint says and the batch does not show.

        Args:
            report: what the contract found in the batch.
            contract: of `contract`.
        """
        shown = {rule.rule for rule in report.rules if not rule.warning}
        suite = None if contract is None else contract.suite
        rules = () if suite is None else suite.rules
        told = list(self.elsewhere)
        for place in self.failed:
            rule = rules[place]
            # A rule about the batch as a whole, or one that raised, is in `broken` already.
            broken = any(rule.name in said for said in report.broken)
            missing = any(
                f"no column {name!r}" in said for name in rule.reads or () for said in report.broken
            )
            if rule.name not in shown and not broken and not missing:
                told.append(
                    f"{rule.name} failed where Great Expectations looked ({self.asset}), and holds "
                    "for the delivery: was another table validated?"
                )
        report.broken.extend(text for text in told if text not in report.broken)
        return report


def told_by(result: Any) -> list[Told]:
    """What a checkpoint found.

    Args:
        result: a `CheckpointResult`.
    """
    return [_told(found) for found in result.run_results.values()]


def _told(found: Any) -> Told:
    entries: list[dict[str, Any]] = []
    failed: list[int] = []
    elsewhere: list[str] = []
    for result in found.results:
        entry = result.expectation_config.to_json_dict()
        # The words of Great Expectations are made anew, and its id is of its own store.
        entry = {key: value for key, value in entry.items() if key not in ("id", "meta")}
        name = f"{entry['type']} of suite {found.suite_name}"
        holds = not result.success and entry.get("severity", "critical") == "critical"
        try:
            _suite([entry], name)
        except UsageError as error:
            if holds:
                reason = str(error).partition(": expectation 1 ")[2]
                elsewhere.append(
                    f"{name} failed, and which records is not known here: {excerpt(reason, 300)}"
                )
            continue
        if holds:
            failed.append(len(entries))
        entries.append(entry)
    meta = found.meta or {}
    spec, definition = meta.get("batch_spec") or {}, meta.get("active_batch_definition") or {}
    path = spec.get("path")
    return Told(
        suite=excerpt(found.suite_name, 120),
        asset=excerpt(definition.get("data_asset_name", "unknown"), 120),
        path=None if path is None else str(path),
        entries=tuple(entries),
        failed=tuple(failed),
        elsewhere=tuple(elsewhere),
        expectations=len(found.results),
    )


def _suite(entries: list[dict[str, Any]], called: str) -> Suite:
    return make_suite(entries, parameters={}, called=called)
