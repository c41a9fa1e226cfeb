"""Gates: the policy of each dataset, what is in shadow, and what other rates would have held."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse  # noqa: TC002  FastAPI reads it at run time

from lazaretto.drill.past import past_drills
from lazaretto.plugins.asked import (
    MOST_BATCHES,
    MOST_RECORDS,
    MOST_REPLAYED,
    REPLAY_SECONDS,
    Behind,
    Sent,
    known,
    sent_by_form,
)
from lazaretto.plugins.security import Decides, Hidden, may_read, may_try, may_try_by_form
from lazaretto.stages.candidate_replay import replay_candidate
from lazaretto.stages.explore import LAST, explore_rates
from lazaretto.stages.gates import list_gates, show_gate
from lazaretto.stages.rate_replay import replay_rate, replay_screening

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site
    from lazaretto.stages.policy_replay import PolicyReplay

_PAGE_SIZE = 100
_LONGEST = 8_000  # characters of a section, which stands in the address
_LONGEST_POLICY = 60_000  # characters of a whole policy, which a form sends
_NIGHTS = 30
_CANDIDATE = sent_by_form("policy", "batches", longest=_LONGEST_POLICY)


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/gates", dependencies=[may_read])
    def all_gates(request: Request, hidden: Hidden, after: Behind = None) -> HTMLResponse:
        found = list_gates(workspace(), after=known(after), limit=_PAGE_SIZE + 1, hidden=hidden)
        shown = found[:_PAGE_SIZE]
        following = shown[-1].dataset if len(found) > _PAGE_SIZE else None
        return site.page(request, "gates.html", gates=shown, after=after, following=following)

    @pages.get("/gates/{dataset}", dependencies=[may_read])
    def one_gate(request: Request, dataset: str, decides: Decides) -> HTMLResponse:
        gate = show_gate(workspace(), dataset)
        text = screening = whole = None
        if gate.policy is not None:
            said = json.loads(gate.policy.event.says)
            text = json.dumps(said, indent=2, ensure_ascii=False)
            screening = _as_yaml(said.get("screen"))
            whole = _as_yaml({key: one for key, one in said.items() if key != "extends"})
        rate = None if gate.policy is None else gate.policy.rules.screen.false_quarantine_rate
        return site.page(
            request,
            "gate.html",
            gate=gate,
            text=text,
            screening=screening,
            longest=_LONGEST,
            whole=whole,
            longest_policy=_LONGEST_POLICY,
            last=LAST,
            most=MOST_BATCHES,
            rate=rate,
            replayed=MOST_REPLAYED,
            may_try=decides,
            drills=past_drills(workspace(), dataset, limit=_NIGHTS),
        )

    @pages.get("/gates/{dataset}/explore", dependencies=[may_read])
    def explored(
        request: Request,
        dataset: str,
        batches: Annotated[int, Query(ge=1, le=MOST_BATCHES)] = LAST,
    ) -> HTMLResponse:
        found = explore_rates(workspace(), dataset, batches=batches, most_records=MOST_RECORDS)
        return site.page(request, "explore.html", found=found, batches=batches, most=MOST_BATCHES)

    def judged_again(
        request: Request, found: PolicyReplay, batches: int, **by: Any
    ) -> HTMLResponse:
        tried: dict[str, Any] = {
            "rate": None,
            "screening": None,
            "policy": None,
            "longest": None,
        } | by
        return site.page(
            request, "replay.html", found=found, batches=batches, most=MOST_REPLAYED, **tried
        )

    @pages.get("/gates/{dataset}/replay", dependencies=[may_read, may_try])
    def replayed(
        request: Request,
        dataset: str,
        rate: Annotated[float, Query(gt=0, lt=1)],
        batches: Annotated[int, Query(ge=1, le=MOST_REPLAYED)] = MOST_REPLAYED,
    ) -> HTMLResponse:
        found = replay_rate(
            workspace(),
            dataset,
            rate,
            batches=batches,
            most_records=MOST_RECORDS,
            seconds=REPLAY_SECONDS,
        )
        return judged_again(request, found, batches, rate=rate)

    @pages.get("/gates/{dataset}/try", dependencies=[may_read, may_try])
    def tried(
        request: Request,
        dataset: str,
        screen: Annotated[str, Query(min_length=1, max_length=_LONGEST)],
        batches: Annotated[int, Query(ge=1, le=MOST_REPLAYED)] = MOST_REPLAYED,
    ) -> HTMLResponse:
        """A section of a policy, which names no file and no code; the rest is what is in force."""
        found = replay_screening(
            workspace(),
            dataset,
            screen,
            batches=batches,
            most_records=MOST_RECORDS,
            seconds=REPLAY_SECONDS,
        )
        return judged_again(request, found, batches, screening=screen, longest=_LONGEST)

    @pages.post("/gates/{dataset}/candidate", dependencies=[may_read, *may_try_by_form])
    def candidate(
        request: Request, dataset: str, sent: Annotated[Sent, Depends(_CANDIDATE)]
    ) -> HTMLResponse:
        """A whole policy; it names no file and no code beside those in force, which stay unread."""
        policy, batches = sent.text("policy"), sent.number("batches", most=MOST_REPLAYED)
        found = replay_candidate(
            workspace(),
            dataset,
            policy,
            batches=batches,
            most_records=MOST_RECORDS,
            seconds=REPLAY_SECONDS,
        )
        return judged_again(request, found, batches, policy=policy, longest=_LONGEST_POLICY)

    return pages


def _as_yaml(said: object) -> str:
    return str(yaml.safe_dump(said, sort_keys=False, allow_unicode=True))
