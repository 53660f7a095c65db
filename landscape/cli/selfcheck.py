"""Does this installation work?"""

from __future__ import annotations

import typer

from landscape.cli.app import app
from landscape.escaping.terminal import console


@app.command()
def selfcheck() -> None:
    """Hold this installation against closed forms, in under a minute."""
    from rich.table import Table

    from landscape.witness.selfcheck import run_checks

    table = Table("fact", "measured", "limit", "", box=None, pad_edge=False)
    failed = 0
    for check in run_checks():
        failed += not check.holds
        table.add_row(check.fact, f"{check.measured:.2g}", f"{check.limit:.2g}", "holds" if check.holds else "FAILS")
    console(soft_wrap=False).print(table)
    console().print("all hold" if not failed else f"{failed} failed: do not trust numbers of this installation")
    raise typer.Exit(1 if failed else 0)
