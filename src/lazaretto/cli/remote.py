"""Reviewing through Airflow's review page: a reviewer needs no catalog and no store."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter, ValidationError

from lazaretto.cli.reviewing import Published
from lazaretto.dataset.announce_http import check_airflow_url
from lazaretto.errors import (
    AdmissionRefusedError,
    NotFoundError,
    OvertakenError,
    SystemFaultError,
    UsageError,
)
from lazaretto.quarantine.approvals import Approval
from lazaretto.quarantine.cases import Case
from lazaretto.quarantine.decisions import Decision
from lazaretto.text import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.cli.reviewing import Choice
    from lazaretto.quarantine.export import ExportFormat
    from lazaretto.quarantine.importing import ImportFormat
    from lazaretto.values import Action

_KINDS: dict[int, type[Exception]] = {
    401: UsageError,
    403: UsageError,
    404: NotFoundError,
    409: OvertakenError,
    422: UsageError,
}
_SECONDS = 300
_T = TypeVar("_T")
_LONGEST = 64 * 2**20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to somewhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Remote:
    """Reviews through the page, as the person whom the token is of.

    Attributes:
        server: address of Airflow, such as ``https://airflow.example``.
        token: of Airflow's auth manager.
    """

    server: str
    token: str

    @classmethod
    def at(cls, server: str, token: str) -> Remote:
        """Checks the address: a token goes over https, or to this machine.

        Raises:
            UsageError: it is no address, or not a safe one.
        """
        return cls(check_airflow_url(server, name="--server"), token)

    def cases(self, **which: Any) -> list[Case]:
        """Lists cases."""
        query = {name: value for name, value in which.items() if value is not None}
        return TypeAdapter(list[Case]).validate_python(self._get("/cases", query)["cases"])

    def case(
        self,
        case: str,
        chosen: Mapping[str, str],
        *,
        columns: Sequence[str] | None,
        after: int,
        limit: int,
    ) -> dict[str, Any]:
        """Shows a case: as the page does, with long texts cut."""
        if columns is not None:
            raise UsageError("--column needs the catalog: the page shows the policy's columns")
        found = self._get(f"/cases/{quote(case, safe='')}")
        page: dict[str, Any] = {"records": [], "matching": self.count(case, chosen)}
        if limit:
            query = {**chosen, "after": after, "limit": limit}
            page = self._get(f"/cases/{quote(case, safe='')}/records", query)
        records = [
            each["index"]
            | {
                "reasons": [_reason(finding) for finding in each["findings"]],
                "payload": {cell["column"]: cell["text"] for cell in each["cells"]},
            }
            for each in page["records"]
        ]
        return found | {"matching": page["matching"], "records": records}

    def count(self, case: str, chosen: Mapping[str, str]) -> int:
        """Counts what a filter takes."""
        return int(self._get(f"/cases/{quote(case, safe='')}/count", chosen)["records"])

    def decide(
        self,
        case: str,
        action: Action,
        choice: Choice,
        reason: str,
        label: str | None,
        weight: float | None,
    ) -> Decision:
        """Decides."""
        body = {
            "action": action.value,
            "reason": reason,
            "ids": None if choice.ids is None else list(choice.ids),
            "filter": None if choice.filter is None else dict(choice.filter),
            "all": choice.all,
            "label": label,
            "weight": weight,
        }
        return _typed(Decision, self._post(f"/cases/{quote(case, safe='')}/decisions", body))

    def undo(self, decision: str, reason: str) -> Decision:
        """Takes a decision back."""
        body = {"reason": reason}
        return _typed(Decision, self._post(f"/decisions/{quote(decision, safe='')}/undo", body))

    def publish(self, case: str) -> Published:
        """Publishes."""
        answer = self._post(f"/cases/{quote(case, safe='')}/publish", {})
        made, told = answer["admission"], answer["announcement"]
        if made is None:
            return Published(0)
        known = self._get(f"/cases/{quote(case, safe='')}")["publications"]
        by = next((one["by"]["id"] for one in known if one["part"] == made["part"]), None)
        return Published(
            rows=made["rows"],
            dataset=made["dataset"],
            version=made["version"],
            part=made["part"],
            by=by,
            seq=made["seqs"][-1],
            announced=told["announced"],
            note=told["note"],
        )

    def approve(self, case: str, seen: int) -> Approval:
        """Agrees to a publication."""
        made = self._post(f"/cases/{quote(case, safe='')}/approve", {"seen": seen})
        return _typed(Approval, made)

    def assign(self, case: str, assignee: str | None) -> None:
        """Makes a case somebody's to review."""
        self._post(f"/cases/{quote(case, safe='')}/assignee", {"assignee": assignee})

    def override(self, case: str, reason: str) -> int:
        """Lets records of what is revoked be released."""
        return int(self._post(f"/cases/{quote(case, safe='')}/override", {"reason": reason})["seq"])

    def comment(self, case: str, text: str) -> int:
        """Puts a remark on record."""
        return int(self._post(f"/cases/{quote(case, safe='')}/comments", {"text": text})["seq"])

    def export(
        self,
        case: str,
        to: IO[bytes],
        format: ExportFormat,  # noqa: A002
        chosen: Mapping[str, str],
    ) -> None:
        """Writes a case as a file."""
        query = urlencode({**chosen, "format": format})
        with self._open(f"/cases/{quote(case, safe='')}/export?{query}", None) as answer:
            shutil.copyfileobj(answer, to)

    def bring(
        self,
        case: str,
        content: bytes,
        format: ImportFormat,  # noqa: A002
        reason: str | None,
        *,
        apply: bool,
    ) -> dict[str, Any]:
        """Reads decisions from a file, and takes them where `apply` is set."""
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UsageError(f"the file is not UTF-8: {error}") from None
        body = {"format": format, "text": text, "reason": reason, "apply": apply}
        return self._post(f"/cases/{quote(case, safe='')}/import", body)

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        with self._open(f"{path}?{urlencode(query or {})}", None) as answer:
            return _object(answer)

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        with self._open(path, json.dumps(body).encode()) as answer:
            return _object(answer)

    def _open(self, path: str, body: bytes | None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "X-Lazaretto-Request": "1"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        # The scheme was checked: http or https.
        request = urllib.request.Request(  # noqa: S310
            f"{self.server}/lazaretto/api/v1{path}", data=body, headers=headers
        )
        try:
            return urllib.request.build_opener(_NoRedirect).open(request, timeout=_SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                raise _told(error.code, error.read(_LONGEST)) from None
        except (OSError, HTTPException) as error:
            raise SystemFaultError(f"{self.server} does not answer: {error}") from error


def _told(status: int, content: bytes) -> Exception:
    """What the server refused, as the error that the library would have raised."""
    try:
        told = json.loads(content)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    detail = told.get("error") or told.get("detail") or f"the server answered {status}"
    text = cut(detail if isinstance(detail, str) else json.dumps(detail), 2000)
    if status == 404 and "kind" not in told:
        text = "there is no review page: is the plugin installed in that Airflow?"
        return UsageError(text)
    if status == 409 and told.get("kind") == AdmissionRefusedError.__name__:
        return AdmissionRefusedError(text, code=str(told.get("code")), dataset="")
    if status in (401, 403) and "kind" not in told:
        text = f"{text}: the token is not accepted or has expired, or its owner may not do this"
    return _KINDS.get(status, SystemFaultError)(text)


def _object(answer: IO[bytes]) -> dict[str, Any]:
    try:
        told = json.loads(answer.read(_LONGEST))
    except ValueError as error:
        raise SystemFaultError(f"the server did not answer with JSON: {error}") from None
    if not isinstance(told, dict):
        raise SystemFaultError("the server did not answer with a JSON object")
    return told


def _typed(kind: type[_T], told: dict[str, Any]) -> _T:
    try:
        return TypeAdapter(kind).validate_python(told)
    except ValidationError as error:
        raise SystemFaultError(f"the server is of another version: {error}") from None


def _reason(finding: Mapping[str, Any]) -> str:
    """A finding in one line, as the file of held records has it."""
    return f"{finding['by']}: {finding['text']}" if finding["by"] else str(finding["text"])
