"""Bars on terminals, and nothing anywhere else."""

from __future__ import annotations

import io
import sys

import pytest

from lazaretto.cli.progress import bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work() -> None:
    with bars() as progress:
        for done in (1, 2, 3):
            progress("capturing [red]x[/red]", done, 3)
        progress("trusted rows", 0, 7)


def test_a_terminal_shows_how_far_each_step_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    work()
    assert "capturing [red]x[/red]" in shown.getvalue()
    assert "3/3" in shown.getvalue()
    assert "0/7" in shown.getvalue()


@pytest.mark.parametrize(("stream", "term"), [(io.StringIO, "xterm"), (Terminal, "dumb")])
def test_elsewhere_nothing_is_written(
    stream: type[io.StringIO],
    term: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TERM", term)
    shown = stream()
    monkeypatch.setattr(sys, "stderr", shown)
    work()
    assert shown.getvalue() == ""
    assert capsys.readouterr().out == ""
