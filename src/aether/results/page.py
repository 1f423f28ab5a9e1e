"""What sections of the page are made of: figures, tables and words, all escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aether.results.figures import Plot  # a run that draws nothing yet need not load what draws

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # nothing is fetched
MODELLED = "Every result on this page is modelled; nothing here was measured in flight."


def whole(title: str, head: str, sections: Iterable[tuple[str, str, str]], foot: str) -> str:
    """A page of (id, heading, html) sections; title, head and foot are escaped already."""
    shown = list(sections)
    links = "".join(f'<a href="#{key}">{words}</a>' for key, words, _ in shown)
    body = "".join(f'<section id="{key}"><h2>{words}</h2>{html}</section>' for key, words, html in shown)
    style = resources.files("aether.results").joinpath("data/page.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{title} – Aether</title><style>{style}</style></head>\n'
        f"<body><header>{head}<nav>{links}</nav></header><main>{body}</main><footer>{foot}</footer></body></html>\n"
    )


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
