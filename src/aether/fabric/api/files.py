"""Files of a project, in OpenAI's form: examples to tune on."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Form, Path, Query, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response

from aether.fabric.api.frame import Fabric, Given, Reader, Writer, answer
from aether.fabric.api.vendor import VendorRoute, page
from aether.fabric.core import events
from aether.fabric.core.plane import Decision, Happening, Refused
from aether.fabric.core.state import File, State
from aether.fabric.tenancy import Principal, ident

router = APIRouter(prefix="/v1/files", tags=["models"], route_class=VendorRoute)
FileId = Annotated[str, Path(min_length=1, max_length=100)]
PURPOSES = ("fine-tune",)
PIECE_BYTES = 1 << 20  # read at once
MOST_FILES = 10_000  # of a project


@router.post("", response_model=None)
async def upload_file(
    request: Request, given: Given, who: Writer, file: UploadFile, purpose: Annotated[str, Form(max_length=50)]
) -> Response:
    """Bring a file."""
    if purpose not in PURPOSES:
        raise Refused(400, "invalid-input", f"'{purpose}' is not one of {', '.join(PURPOSES)}", param="purpose")
    del request
    try:
        digest = await asyncio.to_thread(_digest, file.file)
        file.file.seek(0)
        size = await asyncio.to_thread(given.blobs.put, file.file, digest)
    finally:
        await file.close()
    project = who.project or "default"
    _mark(given, project, digest)
    name = (file.filename or "file").replace("\0", "")[:200]
    made = events.FileMade(
        file=ident("file-", 24), project=project, name=name, purpose=purpose, digest=digest, size_bytes=size
    )

    def decide(state: State) -> Decision:
        if sum(f.project == project for f in state.files.values()) >= MOST_FILES:
            raise Refused(400, "too-many", f"a project has at most {MOST_FILES:,} files: delete some")
        return Decision((Happening(made, project, made.file),))

    await answer(given.plane.write(decide, who.key))
    return JSONResponse(_show(made.file, given.plane.state.files[made.file]))


def _digest(stream: BinaryIO) -> str:
    made = hashlib.sha256()
    while piece := stream.read(PIECE_BYTES):
        made.update(piece)
    return "sha256:" + made.hexdigest()


def _mark(given: Fabric, project: str, digest: str) -> None:
    """A blob is the project's, for its jobs to mount."""
    mark = given.folder / "projects" / project / digest[7:]
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


@router.get("", response_model=None)
async def list_files(
    given: Given, who: Reader, purpose: Annotated[str | None, Query(max_length=50)] = None, limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    after: Annotated[str | None, Query(max_length=100)] = None, order: Annotated[str, Query(pattern="^(asc|desc)$")] = "desc",
) -> Response:  # fmt: skip
    """The project's files, the newest first."""
    with given.plane.lock:
        rows = [
            _show(n, f)
            for n, f in given.plane.state.files.items()
            if who.sees(f.project) and purpose in (None, f.purpose)
        ]
    return JSONResponse(page(rows if order == "asc" else rows[::-1], after, limit))


@router.get("/{file}", response_model=None)
async def show_file(given: Given, who: Reader, file: FileId) -> Response:
    """A file."""
    with given.plane.lock:
        return JSONResponse(_show(file, visible_file(given.plane.state, who, file)))


@router.get("/{file}/content", response_model=None)
async def file_content(given: Given, who: Reader, file: FileId) -> Response:
    """What is in a file."""
    with given.plane.lock:
        found = visible_file(given.plane.state, who, file)
    return FileResponse(given.blobs.path(found.digest), media_type="application/octet-stream")


@router.delete("/{file}", response_model=None)
async def delete_file(given: Given, who: Writer, file: FileId) -> Response:
    """Delete a file; tunings that began with it keep what they read."""

    def decide(state: State) -> Decision:
        found = visible_file(state, who, file)
        return Decision((Happening(events.FileRemoved(file=file), found.project, file),), alone=True)

    await answer(given.plane.write(decide, who.key))
    return JSONResponse({"id": file, "object": "file", "deleted": True})


def visible_file(state: State, who: Principal, name: str, param: str | None = None) -> File:
    """The file of a name; Refused where it is none of theirs."""
    found = state.files.get(name)
    if found is None or not who.sees(found.project):
        raise Refused(400 if param else 404, "no-such-file", f"No such File object: {name[:100]}", param=param or "id")
    return found


def _show(name: str, file: File) -> dict[str, Any]:
    return {"id": name, "object": "file", "bytes": file.size_bytes, "created_at": int(file.made_s), "filename": file.name, "purpose": file.purpose,
            "status": "processed", "expires_at": None, "status_details": None}  # fmt: skip
