"""The whole application: for tests and for the page of all commands."""

from lazaretto.cli.application import application

app = application()
