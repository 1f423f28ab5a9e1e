"""Tunings and feedback: jobs that leave an adapter, in OpenAI's form."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path as File
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from aether.fabric.api.files import visible_file
from aether.fabric.api.frame import Fabric, Given, Reader, Writer, answer
from aether.fabric.api.fresh import figures, measured_s, progress
from aether.fabric.api.vendor import VendorRoute, page
from aether.fabric.core import events
from aether.fabric.core.plane import Decision, Happening, Refused
from aether.fabric.core.serving import MOST_ADAPTERS
from aether.fabric.core.state import OVER, Served, State, Tuned
from aether.fabric.service import Tuning
from aether.fabric.task import Asked, Orbit, Resources, Task
from aether.fabric.tenancy import Principal, ident

router = APIRouter(prefix="/v1", tags=["models"], route_class=VendorRoute)
TuningId = Annotated[str, Path(min_length=1, max_length=100)]
Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[str | None, Query(max_length=100)]
PRIORITY = 700  # above jobs that nobody waits for
MOST_TUNINGS, MOST_FEEDBACK = 100, 10_000  # of a project: at work at once; pieces that wait for a round
KNOWN_S = 5.0  # of the wall's clock in which the gateway hears of a new model
MOST_ERROR = 2_000  # characters of what a program says of its failure
MOST_PROBLEMS = 10  # of a file that are told at once
Hyper = Annotated[float, Field(gt=0, le=1e6)] | Literal["auto"] | None


class Hyperparameters(BaseModel):
    """As OpenAI names them."""

    model_config = ConfigDict(extra="forbid")
    n_epochs: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] | None = None
    batch_size: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] | None = None
    learning_rate_multiplier: Hyper = None


class Supervised(BaseModel):
    """Examples of conversations."""

    model_config = ConfigDict(extra="forbid")
    hyperparameters: Hyperparameters = Hyperparameters()


class Method(BaseModel):
    """How it is tuned; supervised is what there is."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["supervised"]
    supervised: Supervised = Supervised()


class NewTuning(BaseModel):
    """A tuning, as clients of OpenAI ask for it."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(max_length=200)
    training_file: str = Field(max_length=100)
    validation_file: str | None = Field(None, max_length=100)
    suffix: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    seed: int | None = Field(None, ge=0, le=2**31 - 1)
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        None, max_length=16
    )


class Message(BaseModel):
    """A turn of a conversation."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=50_000)


class NewFeedback(BaseModel):
    """How a model should have answered: the conversation, and the answer that was wanted."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(max_length=200)
    messages: tuple[Message, ...] = Field(min_length=1, max_length=100)
    completion: str = Field(min_length=1, max_length=50_000, description="the answer that was wanted")
    weight: float = Field(1.0, gt=0.0, le=100.0)


@router.post("/fine_tuning/jobs", response_model=None)
async def create_tuning(given: Given, who: Writer, asked: NewTuning) -> Response:
    """Tune a model: a job of the fabric trains an adapter, which all servers of the model then load."""
    with given.plane.lock:
        state, paths = given.plane.state, {}
        where, _ = tunable(state, who, asked.model)
        for param in ("training_file", "validation_file"):
            if name := getattr(asked, param):
                paths[param] = given.blobs.path(visible_file(state, who, name, param).digest)
    for param, path in paths.items():
        if told := await asyncio.to_thread(problems, path):
            raise Refused(400, "invalid-input", f"{param}: {told}", param=param)
    hyper = asked.method.supervised.hyperparameters if asked.method else asked.hyperparameters or Hyperparameters()
    project = who.project or "default"
    name = f"ft:{asked.model}:{project}:{asked.suffix or ''}:{ident('', 8)}"
    wanted = events.TuningAsked(
        tuning=ident("ftjob-", 24), project=project, deployment=where, model=asked.model, name=name,
        training_file=asked.training_file, validation_file=asked.validation_file or "", suffix=asked.suffix or "", seed=asked.seed,
        settings={k: f"{v:g}" for k, v in hyper.model_dump().items() if v not in (None, "auto")}, metadata=asked.metadata or {},
    )  # fmt: skip

    def decide(state: State) -> Decision:
        working = [t for t in state.tunings.values() if t.asked.project == project and t.status not in OVER]
        if len(working) >= MOST_TUNINGS:
            raise Refused(429, "too-many", f"{MOST_TUNINGS} tunings of the project are at work", retry_after=30)
        held = [
            t
            for t in state.tunings.values()
            if t.asked.deployment == wanted.deployment and t.status == "succeeded" and not t.removed
        ]
        if len(held) >= MOST_ADAPTERS:
            raise Refused(
                400, "too-many", f"the servers hold {MOST_ADAPTERS} tuned models: delete one by DELETE /v1/models/NAME"
            )
        _, served = tunable(state, who, asked.model)
        files = {
            p: visible_file(state, who, getattr(wanted, p), p).digest
            for p in ("training_file", "validation_file")
            if getattr(wanted, p)
        }
        return Decision(begin(served, wanted, files["training_file"], files.get("validation_file")), alone=True)

    await answer(given.plane.write(decide, who.key))
    return JSONResponse(_shown(given, wanted.tuning))


def tunable(state: State, who: Principal, model: str) -> tuple[str, Served]:
    """The deployment of a model that can be tuned, after its id; of several one that is tuned continually. Refused where there is none."""
    mine = [
        (name, served)
        for name, served in state.served.items()
        if not served.gone and served.deployment.model == model and served.project in ("", who.project or "default")
    ]
    tuned = [(n, s) for n, s in mine if s.deployment.service.tuning is not None]
    if not tuned:
        what = f"The model '{model[:100]}' does not exist or cannot be tuned"
        if mine:
            what = f"The model '{model}' cannot be tuned: its deployment has no `tuning`"
        raise Refused(400, "invalid-input", what, param="model")
    return max(tuned, key=lambda row: (row[1].deployment.service.tuning or Tuning(run="-")).continual is not None)


def begin(served: Served, wanted: events.TuningAsked, train: str, validation: str | None) -> tuple[Happening, ...]:
    """A tuning and the job that does its work, at hosts where the model itself may be."""
    tuning, task = served.deployment.service.tuning, served.deployment.task
    assert tuning is not None  # `tunable` has seen to it
    assert task is not None  # `Deployment` has
    mounts = {"~/tuning/train.jsonl": train} | ({"~/tuning/validation.jsonl": validation} if validation else {})
    kinds = dict.fromkeys(kind for way in task.resources.ways for kind in way.accelerators or ())
    ways = tuple(Resources(accelerators={kind: tuning.gpus}) for kind in kinds)
    made = Task(
        name=f"tune-{served.deployment.name}"[:60], resources=Asked(any_of=ways), file_mounts=mounts, setup=tuning.setup,
        run=_script(tuning, wanted, validation is not None),
        orbit=Orbit(where=task.orbit.where, jurisdictions=task.orbit.jurisdictions, priority=PRIORITY, retries=1, checkpoint="~/adapter",
                    checkpoint_every=1e9, grace=5.0),
    )  # fmt: skip
    job = f"t-{wanted.tuning.rpartition('-')[2]}"
    return (
        Happening(wanted, wanted.project, wanted.tuning),
        Happening(
            events.Submitted(job=job, project=wanted.project, task=made, tuning=wanted.tuning), wanted.project, job
        ),
    )


def _script(tuning: Tuning, wanted: events.TuningAsked, validated: bool) -> str:
    """What the program is told: files, its output's folder, hyperparameters, as variables."""
    told = {f"AETHER_{k.upper()}": v for k, v in wanted.settings.items()} | {
        "AETHER_SUFFIX": wanted.suffix,
        "AETHER_MODEL": wanted.model,
    }
    if wanted.seed is not None:
        told["AETHER_SEED"] = str(wanted.seed)
    lines = [f"export {k}={shlex.quote(v)}" for k, v in told.items()]
    lines += ['export AETHER_TRAIN_FILE="$HOME/tuning/train.jsonl" AETHER_OUT="$HOME/adapter"']
    lines += ['export AETHER_VALIDATION_FILE="$HOME/tuning/validation.jsonl"'] if validated else []
    return "\n".join([*lines, tuning.run])


def problems(path: File) -> str:
    """What is wrong with a file of examples, with its lines; empty where nothing is."""
    found, count = [], 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            count += 1
            if told := _line_problem(line):
                found.append(f"line {number}: {told}")
            if len(found) >= MOST_PROBLEMS:
                break
    return "; ".join(found) if found else "" if count else "the file holds no examples"


def _line_problem(line: bytes) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"is no JSON ({str(error)[:60]})"
    turns = row.get("messages") if isinstance(row, dict) else None
    if not isinstance(turns, list) or not turns:
        return "has no list `messages`"
    for turn in turns:
        if (
            not isinstance(turn, dict)
            or turn.get("role") not in ("system", "user", "assistant")
            or not isinstance(turn.get("content"), str)
        ):
            return "a message has no `role` of system, user, assistant, or no text in `content`"
    return "" if turns[-1]["role"] == "assistant" else "does not end with a message of the assistant"


@router.get("/fine_tuning/jobs", response_model=None)
async def list_tunings(given: Given, who: Reader, limit: Limit = 20, after: After = None) -> Response:
    """The project's tunings, the newest first."""
    with given.plane.lock:
        names = [n for n, t in given.plane.state.tunings.items() if who.sees(t.asked.project)]
    return JSONResponse(page([_shown(given, n) for n in reversed(names)], after, limit))


@router.get("/fine_tuning/jobs/{tuning}", response_model=None)
async def show_tuning(given: Given, who: Reader, tuning: TuningId) -> Response:
    """A tuning."""
    visible_tuning(given, who, tuning)
    return JSONResponse(_shown(given, tuning))


@router.post("/fine_tuning/jobs/{tuning}/cancel", response_model=None)
async def cancel_tuning(given: Given, who: Writer, tuning: TuningId) -> Response:
    """End a tuning."""
    visible_tuning(given, who, tuning)

    def decide(state: State) -> Decision:
        found = state.tunings[tuning]
        if found.status in OVER:
            raise Refused(400, "over", f"The tuning is over: it has {found.status}")
        made = [Happening(events.TuningCancelled(tuning=tuning), found.asked.project, tuning)]
        if found.job in state.jobs and state.jobs[found.job].status not in OVER:
            made.append(Happening(events.CancelAsked(jobs=(found.job,)), found.asked.project, found.job))
        return Decision(tuple(made), alone=True)

    await answer(given.plane.write(decide, who.key))
    return JSONResponse(_shown(given, tuning))


@router.get("/fine_tuning/jobs/{tuning}/events", response_model=None)
async def tuning_events(
    given: Given, who: Reader, tuning: TuningId, limit: Limit = 20, after: After = None
) -> Response:
    """What happened to a tuning, the newest first."""
    found = visible_tuning(given, who, tuning)
    rows = [_event(tuning, 0, found.made_s, "Created fine-tuning job: " + tuning)]
    said = progress(given, found)
    for row in said:
        if "step" in row:
            text = f"Step {row['step']}: training loss={row.get('loss', 'unknown')}"
            rows.append(_event(tuning, len(rows), found.made_s, text, "metrics", row))
    if cut := next((row["truncated_examples"] for row in said if row.get("truncated_examples")), None):
        text = f"{cut} examples were longer than the context: their beginnings were left out"
        rows.append(_event(tuning, len(rows), found.made_s, text) | {"level": "warn"})
    if found.trained_s is not None:
        rows.append(_event(tuning, len(rows), found.trained_s, "The adapter is trained; servers load it"))
    if found.ended_s is not None:
        level = "info" if found.status == "succeeded" else "error" if found.status == "failed" else "warn"
        text = (
            (_why(found, said) if found.status == "failed" else "")
            or found.reason
            or f"The job has {found.status}; model {found.asked.name}"
        )
        rows.append(_event(tuning, len(rows), found.ended_s, text) | {"level": level})
    return JSONResponse(page(rows[::-1], after, limit))


@router.get("/fine_tuning/jobs/{tuning}/checkpoints", response_model=None)
async def tuning_checkpoints(
    given: Given, who: Reader, tuning: TuningId, limit: Limit = 10, after: After = None
) -> Response:
    """Models from the midst of a tuning: none are kept."""
    visible_tuning(given, who, tuning)
    return JSONResponse(page([], after, limit))


@router.delete("/models/{model:path}", response_model=None)
async def delete_model(given: Given, who: Writer, model: Annotated[str, Path(max_length=300)]) -> Response:
    """Delete a tuned model."""

    def decide(state: State) -> Decision:
        found = [
            t
            for t in state.tunings.values()
            if t.asked.name == model and not t.removed and t.status == "succeeded" and who.sees(t.asked.project)
        ]
        if not found:
            raise Refused(404, "no-such-model", f"The model '{model[:100]}' does not exist", param="model")
        return Decision(
            (Happening(events.AdapterRemoved(model=model), found[0].asked.project, model[:200]),), alone=True
        )

    await answer(given.plane.write(decide, who.key))
    return JSONResponse({"id": model, "object": "model", "deleted": True})


@router.post("/feedback", status_code=201, response_model=None)
async def give_feedback(given: Given, who: Writer, asked: NewFeedback) -> Response:
    """Say how a model should have answered; the next round of its continual tuning learns from it."""
    project = who.project or "default"
    turns = [t.model_dump() for t in asked.messages] + [{"role": "assistant", "content": asked.completion}]
    line = json.dumps({"messages": turns} | ({"weight": asked.weight} if asked.weight != 1.0 else {}))
    if len(line) > 100_000:
        raise Refused(413, "too-large", "a piece of feedback has at most 100,000 characters", param="messages")
    name = ident("fb-", 24)

    def decide(state: State) -> Decision:
        where, served = tunable(state, who, asked.model.removesuffix(f":{project}:live").removeprefix("ft:"))
        tuning = served.deployment.service.tuning
        if tuning is None or tuning.continual is None:
            raise Refused(
                400,
                "invalid-input",
                f"The model '{asked.model}' is not tuned continually: its deployment has no `tuning.continual`",
                param="model",
            )
        if sum(f.project == project for f in state.feedback.values()) >= MOST_FEEDBACK:
            raise Refused(429, "too-much", f"{MOST_FEEDBACK:,} pieces of feedback wait for a round", retry_after=30)
        made = events.FeedbackGiven(feedback=name, project=project, deployment=where, line=line)
        return Decision((Happening(made, project, name),), alone=True)

    await answer(given.plane.write(decide, who.key))
    made = given.plane.state.feedback.get(name)
    return JSONResponse(
        {"id": name, "object": "feedback", "created_at": int(made.given_s if made else 0), "model": asked.model}, 201
    )


def visible_tuning(given: Fabric, who: Principal, name: str) -> Tuned:
    """The tuning of a name; Refused where it is none of theirs."""
    with given.plane.lock:
        found = given.plane.state.tunings.get(name)
    if found is None or not who.sees(found.asked.project):
        raise Refused(
            404, "no-such-tuning", f"Could not find fine-tuning job: {name[:100]}", param="fine_tuning_job_id"
        )
    return found


def _shown(given: Fabric, name: str) -> dict[str, Any]:
    """A tuning as clients of OpenAI know it; `aether` says what else there is to say."""
    with given.plane.lock:
        tuned = given.plane.state.tunings[name]
        job = given.plane.state.jobs.get(tuned.job)
        status = {
            "working": "queued" if job is None or job.status == "queued" else "running",
            "pushing": "running",
        }.get(tuned.status, tuned.status)
    if tuned.status == "succeeded" and not _answers(given, tuned):
        status = "running"
    asked, done = tuned.asked, status == "succeeded"
    said = progress(given, tuned)
    tokens = next((row["trained_tokens"] for row in reversed(said) if "trained_tokens" in row), None)
    settings: dict[str, Any] = {
        k: float(v) if k == "learning_rate_multiplier" else int(float(v)) for k, v in asked.settings.items()
    }
    error = (
        {"code": "training_failed", "message": _why(tuned, said), "param": None} if tuned.status == "failed" else None
    )
    hyper = {k: settings.get(k, "auto") for k in ("n_epochs", "batch_size", "learning_rate_multiplier")}
    return {
        "id": name, "object": "fine_tuning.job", "created_at": int(tuned.made_s), "finished_at": int(tuned.ended_s) if tuned.ended_s else None,
        "model": asked.model, "fine_tuned_model": asked.name if done else None, "organization_id": asked.project, "result_files": [],
        "status": status, "training_file": asked.training_file, "validation_file": asked.validation_file or None, "hyperparameters": hyper,
        "trained_tokens": tokens if done else None, "error": error, "seed": asked.seed or 0, "estimated_finish": None, "integrations": [],
        "user_provided_suffix": asked.suffix or None, "metadata": asked.metadata, "method": {"type": "supervised", "supervised": {"hyperparameters": hyper}},
        "aether": {  # measured, in seconds of the wall's clock, but for `modelled`
            "job": tuned.job, "trained_s": measured_s(given, tuned, tuned.trained_s), "served_s": measured_s(given, tuned, tuned.ended_s if done else None),
            "freshness_s": [round(f / given.plane.clock.speed, 3) for f in tuned.freshness_s],
            **figures(given, tuned, said),
        },
    }  # fmt: skip


def _why(tuned: Tuned, said: list[dict[str, Any]]) -> str:
    """Why a tuning failed: what its program told, before how it ended."""
    told = next((str(row["error"])[:MOST_ERROR] for row in reversed(said) if row.get("error")), "")
    return f"{told} ({tuned.reason})" if told and tuned.trained_s is None else tuned.reason


def _answers(given: Fabric, tuned: Tuned) -> bool:
    """Whether the gateway knows a tuned model by now; one that has been there for a while it must."""
    since_s = (given.plane.clock.now() - (tuned.ended_s or 0.0)) / given.plane.clock.speed
    return not given.models_url or tuned.asked.name in given.known or since_s > KNOWN_S


def _event(tuning: str, n: int, time_s: float, message: str, kind: str = "message", data: Any = None) -> dict[str, Any]:
    return {"id": f"ftevent-{tuning.rpartition('-')[2]}-{n}", "object": "fine_tuning.job.event", "created_at": int(time_s), "level": "info",
            "message": message, "type": kind, "data": data or {}}  # fmt: skip
