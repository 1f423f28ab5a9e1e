"""What sections of the page are made of: figures, tables and words, all escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from aether.results.figures import Plot


def plots(plots: Iterable[Plot | None], kind: str = "") -> str:
    """Figures side by side where there is room."""
    shown = "".join(
        f'<figure><div class="plot">{p.picture}</div><figcaption>{escape(p.caption)}</figcaption></figure>'
        for p in plots
        if p
    )
    return f'<div class="plots {kind}">{shown}</div>'


def beside(plot: Plot, html: str) -> str:
    """A figure with words or a table beside it."""
    return plots([plot]).removesuffix("</div>") + f"<div>{html}</div></div>"


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[int] = ()) -> str:
    """A table of escaped text; `right`: columns of numbers."""
    numbers = set(right)
    kind = [' class="n"' if i in numbers else "" for i in range(len(columns))]
    head = "".join(f"<th{k}>{escape(c)}</th>" for c, k in zip(columns, kind, strict=True))
    body = "".join("<tr>" + "".join(_cell(v, k) for v, k in zip(row, kind, strict=True)) + "</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def _cell(value: Any, kind: str) -> str:
    text = str(value)
    kind = kind or (' class="long"' if len(text) > 40 else "")
    return f"<td{kind}>{escape(text)}</td>"


def none(words: str) -> str:
    """Words where a section has nothing to show; already escaped."""
    return f'<p class="none">{words}</p>'
