"""The command line, ``lazaretto``: one module per noun, a thin layer over the library.

`main` is the console script. Modules of this package import only typer, rich and the light parts of
the library at module level: ``lazaretto --help`` must not wait for polars, SQLAlchemy or torch.
"""

from lazaretto.cli.entry import main

__all__ = ["main"]
