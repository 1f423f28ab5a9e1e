"""Commands of the live fabric: bring it up and down, look at it; and what all of them share."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aether.base.errors import InputError, Problem
from aether.cli.frame import FAULT, CatalogFolder, Interrupted, Json, Set, Signals, app, overrides

if TYPE_CHECKING:
    from aether.fabric.client import Client
    from aether.fabric.local import Up
    from aether.scenario.document import Document

EXTRA = ("alembic", "cryptography", "fastapi", "httpx", "prometheus_client", "psycopg", "sqlalchemy", "uvicorn")
PATIENCE_S, LONG_S = 2.0, 60.0  # that a command waits for a fabric that does not answer: at first, and while it follows
GATEWAY_HELP = "where models answer; the one after the API's when not given, 0 for no gateway"
MODEL_HELP = "packaged deployments that a new fabric serves; aether-tiny when not given"
IMPOSE_HELP = "answers wait for the modelled round trip to their ship"
LOOK_S = 1.0  # between two looks of --watch
Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIR", help="the fabric's; AETHER_HOME, or in your data folder, when not given"),
]
Env = Annotated[
    list[str] | None, typer.Option("--env", metavar="K=V", help="a variable; K alone takes this shell's value")
]
Watch = Annotated[bool, typer.Option("--watch", help="look again every second, until Ctrl-C")]


def live() -> None:
    """InputError where the optional dependencies of the live fabric are not installed."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        text = f"the live fabric needs packages that are not installed: {', '.join(missing)}"
        raise InputError(Problem("", text, next="pip install 'aether-fabric[live]'"))


@contextmanager
def connected(folder: Path | None, patience_s: float = PATIENCE_S) -> Iterator[Client]:
    """The fabric of a folder, or of AETHER_URL and AETHER_KEY; what it refuses becomes a message and an exit code."""
    live()
    from aether.fabric import local
    from aether.fabric.client import ApiError, Away, Client

    home = local.home(folder)
    url, key = local.credentials(home)
    try:
        down = not os.environ.get("AETHER_URL") and local.running(home) is None
        with Client(url, key, 0.0 if down else patience_s) as client:
            yield client
    except Away as error:
        where = "Is AETHER_URL right?" if os.environ.get("AETHER_URL") else f"Bring it up with aether up; its log is {home / 'control.log'}"  # fmt: skip
        raise InputError(Problem("", error.detail, next=where)) from error
    except ApiError as error:
        if 400 <= error.status < 500 and error.status != 429:
            raise InputError(Problem("", error.detail, next=_advice(error.status))) from error
        print(f"the fabric cannot do it now: {error.detail}", file=sys.stderr)
        raise typer.Exit(FAULT) from error


def _advice(status: int) -> str:
    if status == 401:
        return "The key comes from AETHER_KEY or from the fabric's folder"
    return "aether keys create makes one" if status == 403 else ""


def placed(error: InputError, text: Document) -> InputError:
    """What the fabric has against a file, with the lines of what it names."""
    from aether.scenario.document import dotted

    paths = {dotted(at): at for at in text.lines}

    def line(path: str) -> int:
        """Of a path's nearest parent that is in the file; 0 when none is."""
        parents = [at for name, at in paths.items() if path.startswith((f"{name}.", f"{name}["))]
        return text.line(max(parents, key=len, default=()))

    return InputError([
        text.problem(paths[p.path], p.what, p.nearest, p.next) if p.path in paths
        else Problem(p.path, p.what, p.nearest, p.next, text.file, line(p.path))
        for p in error.problems
    ])  # fmt: skip


def told(data: Any, line: bool = False) -> None:
    """JSON on standard output; line: in one line, where more will follow."""
    print(json.dumps(data, ensure_ascii=False, indent=None if line else 1), flush=True)


def plain(record: Any) -> Any:
    """A record of the API as plain data."""
    return record.model_dump(mode="json")


def shown(client: Client, look: Callable[[], Any], paint: Callable[[Any], list[Any]], watch: bool, json_: bool) -> None:
    """What a look finds, as JSON or painted; with `watch` again and again in place, until Ctrl-C."""
    from aether.results import fabric_terminal

    found = look()
    if not watch:
        told(found) if json_ else fabric_terminal.show(paint(found))
        return
    client.patience_s = LONG_S
    try:
        if json_:
            _lines(look)
        else:
            _redrawn(look, paint)
    except Interrupted:
        Signals.seen = False  # that is how watching ends


def _lines(look: Callable[[], Any]) -> None:
    """A line of JSON whenever something is new."""
    last = None
    while True:
        found = look()
        if found != last:
            told(found, line=True)
        last = found
        time.sleep(LOOK_S)


def _redrawn(look: Callable[[], Any], paint: Callable[[Any], list[Any]]) -> None:
    """The same place of the terminal, drawn anew; where there is none, one picture below the other."""
    from rich.console import Group
    from rich.live import Live

    from aether.results import fabric_terminal

    out = fabric_terminal.console()
    if not out.is_terminal:
        while True:
            fabric_terminal.show([*paint(look()), ""])
            sys.stdout.flush()
            time.sleep(LOOK_S)
    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as drawn:
        while True:
            drawn.update(Group(*paint(look())), refresh=True)
            time.sleep(LOOK_S)


@contextmanager
def _waiting(text: str, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line on standard error that says how long something takes, where somebody sees it."""
    from rich.console import Console

    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    with Console(stderr=True).status(text) as line:
        yield lambda more: line.update(f"{text}: {more}")


@app.command()
def up(
    scenario: Annotated[
        str | None, typer.Argument(help="a scenario file or packaged name; project-aether at first, then as before")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(metavar="N", help="seconds of the fabric in one of the wall's; 1 at first")
    ] = None,
    ships: Annotated[int | None, typer.Option(metavar="N", help="that get a runtime; 3 at first")] = None,
    sites: Annotated[int | None, typer.Option(metavar="N", help="that get a runtime; 1 at first")] = None,
    host: Annotated[
        list[str] | None, typer.Option("--host", metavar="NAME", help="these ships and sites instead")
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="P", help="of the API; 8642 where it is free")] = None,
    bind: Annotated[
        str | None, typer.Option(metavar="ADDR", help="of API and gateway; this machine alone when not given")
    ] = None,
    gateway_port: Annotated[int | None, typer.Option(metavar="P", help=GATEWAY_HELP)] = None,
    model: Annotated[list[str] | None, typer.Option("--model", metavar="NAME", help=MODEL_HELP)] = None,
    place: Annotated[str | None, typer.Option(metavar="CITY", help="of callers of models that do not say")] = None,
    impose_latency: Annotated[
        bool | None, typer.Option("--impose-latency/--no-impose-latency", help=IMPOSE_HELP)
    ] = None,
    db: Annotated[
        str | None, typer.Option(metavar="URL", help="postgresql://...; a SQLite file in the folder when not given")
    ] = None,
    folder: Folder = None,
    otlp: Annotated[str | None, typer.Option(metavar="URL", help="send traces of requests to this collector")] = None,
    set_: Set = None,
    catalog: CatalogFolder = None,
    json_: Json = False,
) -> None:
    """Bring a live fabric up on this machine: API, scheduler, twin, ship runtimes; needs aether-fabric[live]."""
    live()
    from aether.fabric import local

    home = local.home(folder)
    given: dict[str, Any] = {
        "scenario": _absolute(scenario), "speed": speed, "ships": ships, "sites": sites, "hosts": tuple(host) if host else None, "port": port,
        "host": bind, "db": _database(db), "otlp": otlp, "overrides": overrides(set_) or None, "catalog": str(catalog.resolve()) if catalog else None,
        "gateway_port": gateway_port, "models": tuple(model) if model else None, "place": place, "impose_latency": impose_latency,
    }  # fmt: skip
    Signals.kept = "no fabric was brought up"
    with _waiting("the fabric comes up", json_) as tell:
        made = local.up(home, given, tell)
    if json_:
        settings = made.settings
        told({"url": settings.url, "models_url": settings.models_url, "key": made.key, "folder": str(made.folder), "pid": made.pid, "already": made.already,
              "scenario": settings.scenario, "speed": settings.speed})  # fmt: skip
        return
    _print(made)


def _print(made: Up) -> None:
    """What came up, and what to try next."""
    from aether.fabric import local

    settings = made.settings
    print(f"The fabric is up{' already' if made.already else ''} at {settings.url} ({settings.scenario}, {settings.speed:g} x the wall's clock).")  # fmt: skip
    if settings.host not in ("127.0.0.1", "::1", "localhost"):
        print(f"It can be reached over the network at {settings.host}, unencrypted: put a proxy with TLS before it.")
    if made.key is not None:
        print(f"The administrator's key, shown this once:\n  {made.key}\nThis machine's commands find it in {made.folder / local.CREDENTIALS}.")  # fmt: skip
    if settings.models_url:
        anthropics = settings.models_url.removesuffix("/v1")
        print(
            f"Models answer at {settings.models_url} to OpenAI's clients, at {anthropics} to Anthropic's: {', '.join(settings.models)}."
        )
    print(f"Its files: {made.folder}\nNext: aether ships, aether launch hello, aether status --watch, aether serve status; aether down ends it.")  # fmt: skip


def _absolute(scenario: str | None) -> str | None:
    """A file's path that means the same wherever the next `up` is called."""
    return str(Path(scenario).resolve()) if scenario is not None and Path(scenario).is_file() else scenario


def _database(url: str | None) -> str | None:
    """The same for a SQLite file."""
    head = "sqlite:///"
    if url is not None and url.startswith(head) and not url.startswith(head + "/") and len(url) > len(head):
        return head + str(Path(url[len(head) :]).resolve())
    return url


@app.command()
def down(
    keep_ships: Annotated[
        bool, typer.Option("--keep-ships", help="the ship runtimes work on alone, until the next up")
    ] = False,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """End the fabric: programs get their grace, jobs wait for the next up; nothing is lost."""
    live()
    from aether.fabric import local

    home = local.home(folder)
    Signals.kept = "the fabric may be half down: run aether down again"
    with _waiting("programs get their grace", json_):
        ended = local.down(home, keep_ships)
    if json_:
        told({"down": ended, "folder": str(home)})
    else:
        print(f"The fabric of {home} is down; aether up goes on with it." if ended else f"No fabric ran in {home}.")


@app.command()
def status(watch: Watch = False, folder: Folder = None, json_: Json = False) -> None:
    """The fabric at a glance: time, ships in light and in contact, GPUs, jobs, alarms."""
    from aether.results import fabric_terminal

    with connected(folder) as client:
        shown(
            client, lambda: {"fabric": plain(client.fabric()), "ships": plain(client.ships())},
            lambda data: fabric_terminal.glance(data["fabric"], data["ships"]), watch, json_,
        )  # fmt: skip


@app.command()
def metrics(folder: Folder = None, json_: Json = False) -> None:
    """Prometheus metrics of the fabric."""
    with connected(folder) as client:
        text = client.metrics()
    if not json_:
        print(text, end="")
        return
    from prometheus_client.parser import text_string_to_metric_families

    told([{"name": s.name, "labels": s.labels, "value": s.value} for f in text_string_to_metric_families(text) for s in f.samples])  # fmt: skip


def hosts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of hosts for the shell; none where no fabric answers."""
    return completed(ctx, incomplete, lambda client: [s.name for s in client.ships().ships])


def job_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The last jobs for the shell; none where no fabric answers."""
    return completed(ctx, incomplete, lambda client: [j.id for j in client.jobs(most=100)])


def completed(ctx: typer.Context, incomplete: str, ask: Callable[[Client], list[str]]) -> list[str]:
    """What a shell completes from what the fabric knows; nothing where none answers."""
    try:
        from aether.fabric import local
        from aether.fabric.client import Client

        with Client(*local.credentials(local.home(ctx.params.get("folder"))), patience_s=0.0, answer_s=1.0) as client:
            return [name for name in ask(client) if name.startswith(incomplete)]
    except Exception:  # a shell that completes has no place for messages
        return []


def variables(given: list[str] | None) -> dict[str, str]:
    """`--env K=V` and `--env K` as a mapping."""
    made, problems = {}, []
    for item in given or ():
        key, equals, value = item.partition("=")
        if not equals and key not in os.environ:
            problems.append(Problem("--env", f"this shell has no variable '{key}'", next=f"Give it a value: {key}=..."))
        made[key] = value if equals else os.environ.get(key, "")
    if problems:
        raise InputError(problems)
    return made
