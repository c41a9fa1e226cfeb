"""Incidents: a question about poisoned data that stays open until a person concludes it.

`open_incident` asks and keeps the answer; `place_hold` and `lift_hold` stop and resume a source, a
dataset or a model; `refresh` asks again and tells what changed; `take_back` recalls
what is in question; `show_incident` puts together what is known, what is in production, and what to
do first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lazy import load_lazily

if TYPE_CHECKING:
    from lazaretto.incidents.actions import Action as Action
    from lazaretto.incidents.announce import News as News
    from lazaretto.incidents.announce import news_of as news_of
    from lazaretto.incidents.announce import record_announced as record_announced
    from lazaretto.incidents.difference import Difference as Difference
    from lazaretto.incidents.difference import difference as difference
    from lazaretto.incidents.holding import lift_hold as lift_hold
    from lazaretto.incidents.holding import place_hold as place_hold
    from lazaretto.incidents.life import Refreshed as Refreshed
    from lazaretto.incidents.life import assign as assign
    from lazaretto.incidents.life import close as close
    from lazaretto.incidents.life import link_action as link_action
    from lazaretto.incidents.life import note as note
    from lazaretto.incidents.life import open_incident as open_incident
    from lazaretto.incidents.life import refresh as refresh
    from lazaretto.incidents.overview import Overview as Overview
    from lazaretto.incidents.overview import show_incident as show_incident
    from lazaretto.incidents.recalling import take_back as take_back
    from lazaretto.incidents.recorded import Incident as Incident
    from lazaretto.incidents.recorded import find_open as find_open
    from lazaretto.incidents.recorded import get_incident as get_incident
    from lazaretto.incidents.recorded import list_incidents as list_incidents
    from lazaretto.incidents.steps import Step as Step

_HOMES = {
    "Action": "lazaretto.incidents.actions",
    "Difference": "lazaretto.incidents.difference",
    "Incident": "lazaretto.incidents.recorded",
    "News": "lazaretto.incidents.announce",
    "Overview": "lazaretto.incidents.overview",
    "Refreshed": "lazaretto.incidents.life",
    "Step": "lazaretto.incidents.steps",
    "assign": "lazaretto.incidents.life",
    "close": "lazaretto.incidents.life",
    "difference": "lazaretto.incidents.difference",
    "find_open": "lazaretto.incidents.recorded",
    "get_incident": "lazaretto.incidents.recorded",
    "lift_hold": "lazaretto.incidents.holding",
    "link_action": "lazaretto.incidents.life",
    "list_incidents": "lazaretto.incidents.recorded",
    "news_of": "lazaretto.incidents.announce",
    "note": "lazaretto.incidents.life",
    "open_incident": "lazaretto.incidents.life",
    "place_hold": "lazaretto.incidents.holding",
    "record_announced": "lazaretto.incidents.announce",
    "refresh": "lazaretto.incidents.life",
    "show_incident": "lazaretto.incidents.overview",
    "take_back": "lazaretto.incidents.recalling",
}

__all__ = [*_HOMES]  # noqa: PLE0604

load_lazily(__name__, _HOMES)
