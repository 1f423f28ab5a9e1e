"""What terminal tables are made of: readable at eighty columns, nothing of the user's taken for markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def show(*items: Any) -> None:
    """Print to standard output."""
    console = Console()
    for item in items:
        console.print(item, highlight=False)


def table(title: str, *columns: str, right: Sequence[int] = ()) -> Table:
    """An empty table; right: columns of numbers."""
    made = Table(title=title, title_justify="left", show_edge=False, pad_edge=False, box=None, header_style="bold")
    for i, column in enumerate(columns):
        made.add_column(
            column, justify="right" if i in right else "left", overflow="fold", no_wrap=i == 0 and len(columns) < 6
        )
    return made
