"""Contracts: the schema rules a batch must meet, evaluated record by record.

A contract is a table of rules, written as a pandera `DataFrameModel`, in YAML, as a contract of the
Open Data Contract Standard, or as a suite of Great Expectations. Every record that breaks a rule is
found, with the reason; what no single record can be blamed for (a missing column, a rule that
raised) holds the whole batch.
"""

from __future__ import annotations

from lazaretto.contract._evaluate import declared_types, evaluate
from lazaretto.contract._known import Known
from lazaretto.contract._load import Contract, contract_digest, contract_of, load_contract
from lazaretto.contract._report import ContractReport, failures_schema, flags_schema, merged

__all__ = [
    "Contract",
    "ContractReport",
    "Known",
    "contract_digest",
    "contract_of",
    "declared_types",
    "evaluate",
    "failures_schema",
    "flags_schema",
    "load_contract",
    "merged",
]
