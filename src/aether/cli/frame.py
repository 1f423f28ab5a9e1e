"""The frame of the command: its options, its progress, its interruption, its way of writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from aether.base.errors import InputError, Problem
from aether.base.version import VERSION

app = typer.Typer(
    name="aether",
    help="The open orbital compute fabric: design it, prove it, run it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


ScenarioName = Annotated[str, typer.Argument(help="a scenario file, or the name of a packaged one")]


Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="another value, as ships.0.radiator.area='90 m2'"),
]


CatalogFolder = Annotated[
    Path | None, typer.Option("--catalog", metavar="DIR", help="a folder of YAML files that add or override parts")
]


Seed = Annotated[int | None, typer.Option(min=0, help="instead of the scenario's")]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output and nothing else")]


NOTHING, KEPT = "nothing was written", "what has come so far is kept: run the same again to go on"


DONE, FAULT, WRONG, INFEASIBLE, INTERRUPTED = 0, 1, 2, 3, 130  # exit codes


def _version(wanted: bool) -> None:
    if wanted:
        print(f"aether {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    """The open orbital compute fabric: design it, prove it, run it."""


@contextmanager
def progress(quiet: bool, kept: str = NOTHING) -> Iterator[Callable[[str, float, float, str], None]]:
    """A progress bar that long work tells how far it is, and that ends it where it has been interrupted; kept: what is then said."""
    from aether.results import terminal

    Signals.kept = kept
    with terminal.progress(quiet=quiet) as bar:

        def advance(label: str, done: float, of: float, clock: str) -> None:
            Signals.check()
            bar(label, done, of, clock)

        yield advance


def overrides(given: list[str] | None) -> dict[str, Any]:
    """`--set path=value` arguments as a mapping; InputError naming every one without '='."""
    bad = [g for g in given or () if "=" not in g or g.startswith("=")]
    if bad:
        raise InputError(
            [Problem("", f"'{g}' is not path=value", next="As in --set duration='2 h'", file="--set") for g in bad]
        )
    return dict(g.split("=", 1) for g in given or ())


def seconds(option: str, text: str) -> float:
    """A time that an option gives as text [s]; InputError for what is none."""
    from aether.base.units import UnitError, parse

    try:
        value = parse(text, "s")
    except UnitError as error:
        raise InputError(Problem(option, str(error))) from error
    if not 1.0 <= value < 1e9:
        raise InputError(Problem(option, f"'{text}' is no time of at least a second"))
    return value


def write(path: Path, text: str) -> None:
    """Text into a file, whole or not at all; InputError where it cannot be written."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(Problem("", f"cannot write {path}: {error.strerror}")) from error


class Interrupted(BaseException):
    """Ctrl-C or a polite end; not a KeyboardInterrupt, which the command's frame would turn into exit code 1."""


class Signals:
    """Remembers an interrupt: compiled code may swallow the exception or raise another in its place."""

    seen = False
    kept = NOTHING

    @classmethod
    def take(cls, *_: object) -> None:
        """What a signal calls."""
        cls.seen = True
        raise Interrupted

    @classmethod
    def check(cls) -> None:
        """Interrupted where a signal came."""
        if cls.seen:
            raise Interrupted
