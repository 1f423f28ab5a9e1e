"""Commands of those who run a fabric: the meter, keys, projects, the log and its proof."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aether.cli.fabric import LONG_S, Folder, connected, live, plain, told
from aether.cli.fabric import job_names as jobs_known
from aether.cli.frame import FAULT, Json, Signals, app, seconds

if TYPE_CHECKING:
    from aether.fabric.client import Client
    from aether.fabric.views import AuditView, EventView


@app.command()
def usage(
    project: Annotated[str | None, typer.Option("--project", metavar="NAME", help="one project alone")] = None,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """What projects used: GPU-hours by kind, energy, bytes, checkpoints; tokens by model and host, and their price."""
    from aether.results import fabric_terminal

    with connected(folder) as client:
        made = plain(client.usage(project))
    told(made) if json_ else fabric_terminal.show(fabric_terminal.usage(made))


keys_app = typer.Typer(help="Keys: who may do what.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys_app, name="keys")


@keys_app.command("create")
def keys_create(
    project: Annotated[str, typer.Option("--project", metavar="NAME", help="whose jobs it is for")] = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="SCOPE", help="write (when not given), read, infer (models alone), watch or admin"
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="of the fabric's clock from now, as '30 days'")
    ] = None,
    requests: Annotated[
        int | None, typer.Option("--requests-per-minute", metavar="N", help="of models, at most")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens-per-minute", metavar="N", help="of models, in and out, at most")
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="what it is for")] = "",
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """Make a key; its secret is shown this once."""
    expires_s = None if expires is None else seconds("--expires", expires)
    with connected(folder) as client:
        from aether.fabric import views
        from aether.fabric.client import valid

        asked = valid(views.NewKey, project=project, scopes=tuple(scope or ("write",)), expires_in_s=expires_s, note=note,
                      requests_per_minute=requests, tokens_per_minute=tokens)  # fmt: skip
        made = client.make_key(asked)
    if json_:
        told(plain(made))
    else:
        print(f"Key {made.id}; its secret, shown this once:\n  {made.secret}\nSet AETHER_URL and AETHER_KEY to use it.")


@keys_app.command("list")
def keys_list(folder: Folder = None, json_: Json = False) -> None:
    """All keys, without their secrets."""
    from aether.results import fabric_terminal

    with connected(folder) as client:
        rows = [plain(k) for k in client.keys()]  # noqa: SIM118 - no mapping
    told(rows) if json_ else fabric_terminal.show(fabric_terminal.keys(rows))


@keys_app.command("revoke")
def keys_revoke(
    key: Annotated[str, typer.Argument(help="its name, as aether keys list shows it")],
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """Make a key worthless from now on."""
    with connected(folder) as client:
        client.revoke_key(key)
    told({"revoked": key}) if json_ else print(f"Key {key} is revoked.")


projects_app = typer.Typer(help="Projects: whose jobs are whose.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(projects_app, name="projects")


@projects_app.command("create")
def projects_create(
    name: Annotated[str, typer.Argument(help="small letters, digits and hyphens")],
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """Make a project; one that is there stays as it is."""
    with connected(folder) as client:
        client.make_project(name)
    told({"project": name}) if json_ else print(f"Project {name} is there. Next: aether keys create --project {name}")


@projects_app.command("list")
def projects_list(folder: Folder = None, json_: Json = False) -> None:
    """The projects that the key sees."""
    with connected(folder) as client:
        names = client.projects()
    told(names) if json_ else print("\n".join(names))


audit_app = typer.Typer(help="The log of all that happened, and its proof.", rich_markup_mode=None)
app.add_typer(audit_app, name="audit")


@audit_app.callback(invoke_without_command=True)
def audit(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on with what comes, until Ctrl-C")] = False,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="of one job alone", autocompletion=jobs_known)
    ] = None,
    last: Annotated[int, typer.Option("--last", min=1, metavar="N", help="so many of the newest entries")] = 50,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """The log: what happened, when, to what, by whom; or, with verify, the proof that it is as it was written."""
    if ctx.invoked_subcommand is not None:
        return
    from aether.results import fabric_terminal

    with connected(folder) as client:
        found = list(client.audit(subject=job)) if job else _newest(client, last)
        rows = [plain(e) for e in found[-last:]]
        if not follow:
            told(rows) if json_ else fabric_terminal.show(fabric_terminal.event(r) for r in rows)
            return
        client.patience_s = LONG_S
        Signals.kept = "the log goes on"
        after = rows[-1]["seq"] if rows else None
        for row in itertools.chain(rows, (plain(e) for e in client.events(after, job))):
            told(row, line=True) if json_ else fabric_terminal.show([fabric_terminal.event(row)])
            sys.stdout.flush()


def _newest(client: Client, last: int) -> list[EventView]:
    """The newest entries that the key sees; others' lie between them."""
    end, span = client.fabric().events, last
    while True:
        found = list(client.audit(max(end - span, 0)))
        if len(found) >= last or span >= end:
            return found
        span *= 8


@audit_app.command("verify")
def audit_verify(
    ctx: typer.Context,
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="SEQ:HASH", help="what an earlier verify told, written down elsewhere"),
    ] = None,
    folder: Folder = None,
    json_: Json = False,
) -> None:
    """Whether the log is as it was written: finds every change, deletion and reordering; exit with 1 when there is one."""
    before = ctx.parent.params if ctx.parent else {}
    found = _verified(folder or before.get("folder"), head)
    if json_ or before.get("json_"):
        told(plain(found))
    elif found.ok:
        print(f"All {found.entries:,} entries are as they were written. Write the head down elsewhere:\n  {found.head}")
    else:
        print(f"The log is not as it was written: entry {found.entries + 1:,} {found.what}.")
    if not found.ok:
        raise typer.Exit(FAULT)


def _verified(folder: Path | None, head: str | None) -> AuditView:
    """By the fabric where it is up; by its store where it is down."""
    live()
    from aether.fabric import local, views
    from aether.fabric.settings import FILE, Settings

    home = local.home(folder)
    mine = not os.environ.get("AETHER_URL") and (home / FILE).exists()
    if not mine or local.running(home) is not None:
        with connected(folder) as client:
            return client.verify(head)
    from aether.fabric.store.audit import audit as walk
    from aether.fabric.store.store import StoreError

    try:
        made = walk(Settings.read(home).db, home / "head", head)
    except StoreError as error:
        print(f"the log cannot be read: {error}", file=sys.stderr)
        raise typer.Exit(FAULT) from error
    return views.AuditView(ok=made.ok, entries=made.entries, head=made.head, what=made.what)
