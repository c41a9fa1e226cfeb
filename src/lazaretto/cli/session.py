"""What every command of one run shares: where things are, who acts, and how to answer."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lazaretto.cli.reviewing import Reviewer
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace

POLICY_VARIABLE = "LAZARETTO_POLICY"
SERVER_VARIABLE = "LAZARETTO_SERVER"


@dataclass(frozen=True)
class Session:
    """Options that commands share; workspace and policy are opened on first use.

    Attributes:
        catalog_url: ``--catalog``; may hold a password, so it is never printed.
        store_root: ``--store``.
        policy_path: ``--policy``.
        server: ``--server``: Airflow, whose review page is asked instead of catalog and store.
        json: answer with one JSON document.
        debug: show tracebacks.
    """

    catalog_url: str | None = None
    store_root: str | None = None
    policy_path: Path | None = None
    server: str | None = None
    json: bool = False
    debug: bool = False

    @cached_property
    def workspace(self) -> Workspace:
        """Catalog and store as they are: a slip in a catalog's name must not look like an answer.

        Raises:
            NotFoundError: there is no catalog.
            SystemFaultError: it is of another version, or cannot be reached.
        """
        return self._open(create=False)

    @cached_property
    def workspace_made(self) -> Workspace:
        """The same for what may come first: a catalog that is not there yet is made.

        Raises:
            SystemFaultError: it is of another version, or cannot be reached.
        """
        self.__dict__["workspace"] = made = self._open(create=True)
        return made

    def upgraded(self) -> Workspace:
        """The same, with the catalog made or brought to this version.

        Raises:
            SystemFaultError: the catalog cannot be reached, or is of a newer version.
        """
        self.__dict__["workspace"] = upgraded = self._open(create=True, upgrade=True)
        return upgraded

    def close(self) -> None:
        """Ends the use of the catalog: SQLite then has all that was written in its one file."""
        opened = self.__dict__.get("workspace")
        if opened is not None:
            opened.catalog.engine.dispose()

    def _open(self, *, create: bool, upgrade: bool = False) -> Workspace:
        from lazaretto.storage.workspace import open_workspace

        return open_workspace(
            catalog_url=self.catalog_url, store=self.store_root, create=create, upgrade=upgrade
        )

    @cached_property
    def reviewer(self) -> Reviewer:
        """Who reviews: on the catalog, or through the page where a server is named.

        Raises:
            UsageError: the server's address is not one, or there is no token.
        """
        from lazaretto.cli.reviewing import OnCatalog, token

        if self.server is None:
            return OnCatalog(self.workspace)
        from lazaretto.cli.remote import Remote

        return Remote.at(self.server, token("--server"))

    @cached_property
    def policy(self) -> Policy:
        """The policy.

        Raises:
            UsageError: none was named.
            PolicyError: it is not valid.
        """
        policy = self.optional_policy
        if policy is None:
            raise UsageError(
                f"this command needs a policy: add --policy FILE or set {POLICY_VARIABLE}"
            )
        return policy

    @cached_property
    def optional_policy(self) -> Policy | None:
        """The policy, or None when none was named."""
        if self.policy_path is None:
            return None
        from lazaretto.policy import Policy

        return Policy.load(self.policy_path)

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str, int, int], None]]:
        """Shows a spinner on stderr while something long runs, on a terminal only.

        Yields what to call with a step's name, how much of it is done, and how much there is.
        """
        if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            yield lambda *_: None
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(what)) as shown:
            yield lambda step, done, total: shown.update(Text(f"{what}: {step}, {done} of {total}"))
