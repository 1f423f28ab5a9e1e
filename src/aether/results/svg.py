"""A matplotlib figure as SVG to stand inside a page: text stays text, ids are its own, colours follow the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito, "Color Universal Design", 2008: told apart by people with any colour vision
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
YELLOW, GREY, BROWN = (
    "#f0e442",
    "#999999",
    "#8a6642",
)  # the first of the same set; the others for what stands apart by place
INK, MUTED, RULE, SHADE = "#010101", "#020202", "#030303", "#040404"  # stand for the page's own colours, see `_PAGE`
_PAGE = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", SHADE: "var(--shade)"}
RASTER_DPI = 200  # of what is too dense for lines
_STYLE = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 9.0, "font.family": "sans-serif",
    "text.color": INK, "axes.edgecolor": MUTED, "axes.labelcolor": INK, "axes.titlesize": 9.5, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": RULE, "grid.linewidth": 0.5, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "legend.frameon": False,
    "legend.fontsize": 8.5, "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "lines.linewidth": 1.4, "lines.solid_capstyle": "round", "hatch.linewidth": 0.6, "path.simplify_threshold": 0.3,
    "image.composite_image": True, "figure.constrained_layout.use": True, "axes.formatter.useoffset": False,
}  # fmt: skip


def draw(name: str, alt: str, size_in: tuple[float, float], paint: Callable[[Figure], None]) -> str:
    """Inline SVG of what `paint` puts on an empty figure.

    name: unique in the page, prefix of every id. alt: what a reader who cannot see it is told. size_in: width and
    height [inch]; the page scales it. The same input gives the same text.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has the glyphs, not we
        figure = Figure(figsize=size_in, dpi=RASTER_DPI)
        paint(figure)
        text = io.StringIO()  # print_svg lays out and draws once, savefig twice
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(text.getvalue(), name, alt)


def _inline(text: str, name: str, alt: str) -> str:
    """Without prologue, metadata, comments and idle ids; what is left is prefixed and takes the page's colours."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    opening, rest = body.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', opening)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', rest))
    rest = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", rest)
    rest = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", rest)
    rest = re.sub(r"'DejaVu Sans'[^;\"]*", "sans-serif", rest)  # the page names the family
    rest = re.sub(
        r' transform="rotate\(-0 [^"]*"|<defs>\s*<style[^>]*>.*?</style>\s*</defs>', "", rest, flags=re.DOTALL
    )
    for stand_in, colour in _PAGE.items():
        rest = rest.replace(stand_in, colour)
    rest = re.sub(r"\n\s*", "\n", rest)
    return f'<svg {box[0] if box else ""} role="img" aria-label="{escape(alt)}">{rest}'


def logarithmic(axes: Axes) -> None:
    """A logarithmic x axis with plain numbers at 1, 2 and 5 of each decade: nothing here draws powers."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def legend(axes: Axes, **options: Any) -> None:
    """A legend above the plot, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=options.pop("ncols", 4),
            borderpad=0.1, borderaxespad=0.2, handlelength=1.3, columnspacing=1.1, handletextpad=0.5, **options,
        )  # fmt: skip
