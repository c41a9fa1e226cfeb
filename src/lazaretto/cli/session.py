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
    from collections.abc import Iterator
    from pathlib import Path

    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor

POLICY_VARIABLE = "LAZARETTO_POLICY"


@dataclass(frozen=True)
class Session:
    """Options that commands share; workspace and policy are opened on first use.

    Attributes:
        catalog_url: ``--catalog``; may hold a password, so it is never printed.
        store_root: ``--store``.
        policy_path: ``--policy``.
        json: answer with one JSON document.
        debug: show tracebacks.
    """

    catalog_url: str | None = None
    store_root: str | None = None
    policy_path: Path | None = None
    json: bool = False
    debug: bool = False

    @cached_property
    def workspace(self) -> Workspace:
        """Catalog and store, created on first use where the default place is used.

        Raises:
            SystemFaultError: the catalog cannot be reached, or is of a newer version.
        """
        from lazaretto.storage.workspace import open_workspace

        return open_workspace(catalog_url=self.catalog_url, store=self.store_root)

    @cached_property
    def workspace_as_it_is(self) -> Workspace:
        """The same, but a catalog that is missing or of an older version is an error.

        Raises:
            NotFoundError: there is none.
            SystemFaultError: it is of another version, or cannot be reached.
        """
        from lazaretto.storage.workspace import open_workspace

        return open_workspace(catalog_url=self.catalog_url, store=self.store_root, upgrade=False)

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

    @property
    def actor(self) -> Actor:
        """Who acts, for the ledger: the operating system's user; nobody names themselves."""
        return self.workspace.actor

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Shows a spinner on stderr while something long runs, on a terminal only."""
        if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            yield
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(what)):
            yield
