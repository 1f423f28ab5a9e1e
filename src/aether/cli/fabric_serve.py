"""Commands of models: serve one, look at what is served, end it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aether.base.errors import InputError, Problem, nearest
from aether.cli.fabric import (
    LONG_S,
    Env,
    Folder,
    Watch,
    completed,
    connected,
    live,
    placed,
    plain,
    shown,
    told,
    variables,
)
from aether.cli.frame import FAULT, Json, Signals, app

if TYPE_CHECKING:
    from aether.fabric.client import Client
    from aether.fabric.service import DeploymentFile
    from aether.fabric.views import DeploymentView

READY_S = 300.0  # of the wall's clock that `up` waits for a server to answer: a large model takes minutes to load
LOOK_S = 0.3  # between two looks meanwhile


def deployment_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of deployments for the shell; none where no fabric answers."""
    return completed(ctx, incomplete, lambda client: [d.name for d in client.deployments().deployments])


DeploymentName = Annotated[
    str, typer.Argument(metavar="NAME", help="as aether serve status shows it", autocompletion=deployment_names)
]
serve_app = typer.Typer(help="Models: serve them from ships and sites.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(serve_app, name="serve")


@serve_app.command("up")
def serve_up(
    file: Annotated[
        str, typer.Argument(help="a service in SkyPilot's YAML, or the name of a packaged one, as aether-tiny")
    ],
    env: Env = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="do not wait until it answers")] = False,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """Serve a model, or serve it otherwise; waits until a server answers."""
    live()
    asked = _found(file, variables(env))
    with connected(folder) as client:
        made = _deployed(client, asked)
        url = client.fabric().models_url
        Signals.kept = f"{made.name} goes on coming up: aether serve status {made.name} shows it"
        if not detach:
            made = _ready(client, made, json_)
    if json_:
        told(plain(made) | {"models_url": url})
    else:
        _print(made, url)
    if not detach and not made.ready:
        raise typer.Exit(FAULT)


def _print(made: DeploymentView, url: str) -> None:
    price = f"{made.price_in_usd_mtok:g} USD a million tokens in, {made.price_out_usd_mtok:g} out"
    print(f"{made.model} is served by {made.ready} of {made.replicas or len(made.urls)} servers: {price}.")
    if not url:
        print("The fabric has no gateway: bring it up with aether up --gateway-port.")
        return
    print(
        f"Ask it at {url} by the clients of OpenAI, at {url.removesuffix('/v1')} by Anthropic's; the key is the fabric's."
    )


def _found(file: str, envs: dict[str, str]) -> DeploymentFile:
    from aether.fabric import service

    known = service.packaged()
    path = Path(file) if Path(file).is_file() else known.get(file)
    if path is None:
        text = f"there is no file '{file}' and no packaged deployment of that name"
        raise InputError(Problem("", text, nearest(file, known), f"Packaged: {', '.join(known)}"))
    return service.read(path, envs)


def _deployed(client: Client, asked: DeploymentFile) -> DeploymentView:
    """Upload what it mounts and deploy it; what the fabric has against it is told with file and line."""
    deployment = asked.deployment
    if asked.task is not None:
        deployment = deployment.model_copy(update={"task": client.prepare(asked.task)})
    try:
        return client.deploy(deployment)
    except InputError as error:
        raise placed(error, asked.text) from error


def _ready(client: Client, made: DeploymentView, quiet: bool) -> DeploymentView:
    """The deployment once a server of its version answers, or as it is after a while."""
    client.patience_s, last = LONG_S, ""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        now = client.deployment(made.name)
        if now.ready and (not now.servers or any(s.ready and s.version == now.version for s in now.servers)):
            return now
        state = (
            ", ".join(f"{s.job} {s.status}{' on ' + s.host if s.host else ''}" for s in now.servers)
            or now.reason
            or "no servers yet"
        )
        if state != last and not quiet:
            print(f"{made.name}: {state}", file=sys.stderr)
        last = state
        time.sleep(LOOK_S)
    print(
        f"{made.name} did not answer within {READY_S:.0f} s: aether serve status {made.name} says why", file=sys.stderr
    )
    return client.deployment(made.name)


@serve_app.command("status")
def serve_status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="one alone, with its servers", autocompletion=deployment_names)
    ] = None,
    watch: Watch = False,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """Models that are served: servers, where they are, what is asked of them, prices."""
    from aether.results import fabric_terminal

    with connected(folder) as client:

        def look() -> Any:
            return plain(client.deployment(name)) if name else plain(client.deployments())

        paint = fabric_terminal.deployment if name else fabric_terminal.deployments
        shown(client, look, paint, watch, json_)


@serve_app.command("down")
def serve_down(name: DeploymentName, folder: Folder = None, json_: Json = False) -> None:
    """Serve a model no longer; its servers finish what they have."""
    with connected(folder) as client:
        client.undeploy(name)
    told({"down": name}) if json_ else print(f"{name} is served no longer.")
