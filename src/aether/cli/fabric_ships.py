"""Commands of ships and sites: look at them, close them, make faults."""

from __future__ import annotations

from typing import Annotated

import typer

from aether.base.errors import InputError, Problem, unknown
from aether.cli.fabric import Folder, Watch, connected, hosts, plain, shown, told
from aether.cli.frame import Json, app, seconds

FAULTS = ("ship", "site", "link", "gateway", "pump", "runtime", "clock")
Host = Annotated[str, typer.Argument(metavar="HOST", help="a ship or site, as ai1/0", autocompletion=hosts)]
Undo = Annotated[bool, typer.Option("--undo", help="let it take work again")]


@app.command()
def ships(watch: Watch = False, folder: Folder = None, json_: Json = False) -> None:
    """Ships and sites now: GPUs, what limits them, light, charge, heat, contact, jobs."""
    from aether.results import fabric_terminal

    with connected(folder) as client:
        shown(client, lambda: plain(client.ships()), fabric_terminal.ships, watch, json_)


@app.command()
def drain(host: Host, undo: Undo = False, folder: Folder = None, json_: Json = False) -> None:
    """Let a host take no new work, and what runs there go on elsewhere from its checkpoint."""
    with connected(folder) as client:
        client.drain(host, not undo)
    _closed(host, "open" if undo else "drained", json_)


@app.command()
def cordon(host: Host, undo: Undo = False, folder: Folder = None, json_: Json = False) -> None:
    """Let a host take no new work; what runs there goes on."""
    with connected(folder) as client:
        client.cordon(host, not undo)
    _closed(host, "open" if undo else "cordoned", json_)


def _closed(host: str, state: str, json_: bool) -> None:
    told({"host": host, "state": state}) if json_ else print(f"{host} is {state}.")


@app.command()
def inject(
    kind: Annotated[str, typer.Argument(help="ship, site, link, gateway, pump, runtime or clock")],
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]",
            help="a ship, site or gateway; a link by its end, a pump by its ship, as ai1/0",
            autocompletion=hosts,
        ),
    ] = "",
    for_: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="of the fabric's clock, as '10 min'; for good if not given"),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="TIME", help="how far the machine's clock jumps, as '1 h' or '-1 h'")
    ] = None,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """Make a fault: lose a ship, site or gateway, cut a link, stall coolant pumps, kill a runtime, let the machine's clock jump."""
    if kind not in FAULTS:
        raise InputError(unknown("", "fault", kind, FAULTS))
    _fitting(kind, name, for_, by)
    duration_s, by_s = None if for_ is None else seconds("--for", for_), 0.0 if by is None else _jump(by)
    with connected(folder) as client:
        from aether.fabric import views

        client.inject(views.Fault(kind=kind, name=name, duration_s=duration_s, by_s=by_s))
    if json_:
        told({"kind": kind, "name": name, "duration_s": duration_s, "by_s": by_s})
    else:
        words = {"clock": f"The machine's clock jumped by {by}, for the fabric", "runtime": f"The runtime of {name} was killed",
                 "link": f"The links of {name} are cut", "pump": f"The coolant pumps of {name} stand"}  # fmt: skip
        lasts = "" if kind in ("clock", "runtime") else f" for {for_}" if for_ else " for good"
        print(f"{words.get(kind, f'{name} is lost')}{lasts}.")


def _fitting(kind: str, name: str, for_: str | None, by: str | None) -> None:
    """InputError for what does not go with a kind of fault."""
    found = []
    if kind == "clock":
        found += (
            [Problem("--by", "a jump of the clock needs its length", next="As in --by '1 h'")] if by is None else []
        )
        found += [Problem("", f"the clock takes no name, got '{name}'")] if name else []
    else:
        found += [] if name else [Problem("", f"which {kind}?", next=f"aether inject {kind} NAME")]
        found += [Problem("--by", "only the clock jumps")] if by is not None else []
    if for_ is not None and kind in ("clock", "runtime"):
        found.append(Problem("--for", f"a fault of the {kind} is over at once"))
    if found:
        raise InputError(found)


def _jump(text: str) -> float:
    from aether.base.units import UnitError, parse

    try:
        value = parse(text, "s")
    except UnitError as error:
        raise InputError(Problem("--by", str(error))) from error
    if not 0.0 < abs(value) < 1e9:
        raise InputError(Problem("--by", f"'{text}' is no jump"))
    return value
