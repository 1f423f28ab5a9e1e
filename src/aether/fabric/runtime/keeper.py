"""Keeps one program: its output on disk, its whole tree dead when it ends, or when the runtime dies.

Run as `python -I -S keeper.py`, with the standard library alone, so that it is small. It reads a length and a marshalled
dict from its standard input, then lines: `term`, `kill`, `hold` and `go` (all stands still, all goes on), `ack BYTES`; the end of that
pipe means that the runtime is
dead. It answers with lines: `began PID`, `exit CODE` (negative for a signal), or `fault TEXT`.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import sys
import time

ORPHANED_S = 3.0  # between SIGTERM and SIGKILL once the runtime is dead: everything is to be gone after 5 s
UNKILLABLE_S = 10.0  # a process that the kernel does not let go (a dead disk) is left after so long
PIECE = 1 << 16  # bytes read at once
SEGMENT = 1 << 22  # bytes of one piece of log on disk: what is acknowledged is removed piece by piece
SUBREAPER, DEATH_SIGNAL = 36, 1  # PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG of <linux/prctl.h>
TYPE_CHECKING = False  # as `typing` has it, whose import would cost more memory than all the rest
if TYPE_CHECKING:
    from typing import Any
LINUX = sys.platform.startswith("linux")


def prctl(option: int, value: int) -> None:
    """Tell the kernel of Linux; other systems have no such call."""
    if LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Log:
    """A program's output in pieces named by their offset."""

    def __init__(self, folder: str, offset: int, most: int) -> None:
        self.folder, self.written, self.acknowledged, self.most = folder, offset, offset, most
        self.handle, self.held, self.waiting = -1, SEGMENT, b""

    def room(self) -> bool:
        """Whether more may be read: else the pipe fills, and the program waits."""
        return not self.waiting and self.written - self.acknowledged < self.most

    def add(self, data: bytes) -> None:
        """Write, or keep what a full disk does not take for later."""
        self.waiting += data
        while self.waiting:
            try:
                if self.held >= SEGMENT:
                    if self.handle >= 0:
                        os.close(self.handle)
                    name = os.path.join(self.folder, f"{self.written:020d}")
                    self.handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                    self.held = 0
                done = os.write(self.handle, self.waiting)
            except OSError:
                return
            self.waiting = self.waiting[done:]
            self.written += done
            self.held += done


def descendants(of: int) -> list[int]:
    """Every process below one, in any session, as /proc tells; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    with open(f"/proc/{name}/stat", "rb") as file:
                        after = file.read().rpartition(b")")[2].split()
                    children.setdefault(int(after[1]), []).append(int(name))
    found, todo = [], [of]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def send(pid: int, number: int, group: bool = False) -> None:
    """Signal a process or its group, if it still is there."""
    with contextlib.suppress(OSError):
        (os.killpg if group else os.kill)(pid, number)


class Keeper:
    """The program, its pipe, and the runtime's pipe."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.log = Log(str(spec["logs"]), int(spec["offset"]), int(spec["most"]))
        self.words = b""
        self.status: int | None = None
        self.kill_at: float | None = None
        self.orphaned = False
        self.wake, wake = os.pipe()
        for end in (self.wake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.pid, self.pipe = self.begin()

    def begin(self) -> tuple[int, int]:
        """Start the program in a session of its own; it dies with its keeper."""
        ours, theirs = os.pipe()
        told, tell = os.pipe()
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                prctl(DEATH_SIGNAL, signal.SIGKILL)
                if os.getppid() != me:
                    os._exit(1)
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
                    signal.signal(number, signal.SIG_DFL)
                nothing = os.open(os.devnull, os.O_RDONLY)
                for source, target in ((nothing, 0), (theirs, 1), (theirs, 2)):
                    os.dup2(source, target)
                os.chdir(str(self.spec["folder"]))
                os.execvpe(self.spec["argv"][0], self.spec["argv"], self.spec["env"])
            except OSError as error:
                os.write(tell, str(error).encode())
            os._exit(127)
        os.close(theirs)
        os.close(tell)
        fault = os.read(told, 1000)
        os.close(told)
        if fault:
            os.waitpid(pid, 0)
            say(f"fault {fault.decode(errors='replace')}")
            raise SystemExit(0)
        say(f"began {pid}")
        os.set_blocking(ours, False)
        return pid, ours

    def loop(self) -> None:
        """Until the program is over."""
        listening = [0, self.wake]
        while self.status is None:
            watched = listening + ([self.pipe] if self.pipe >= 0 and self.log.room() else [])
            timeout = 0.5 if self.log.waiting else None
            if self.kill_at is not None:
                timeout = max(min(timeout or 60.0, self.kill_at - time.monotonic()), 0.0)
            ready, _, _ = select.select(watched, [], [], timeout)
            if self.kill_at is not None and time.monotonic() >= self.kill_at:
                break
            if self.log.waiting:
                self.log.add(b"")
            if self.pipe in ready:
                self.read()
            if 0 in ready and not self.listen():
                listening = [self.wake]
            if self.wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self.wake, 4096)
                self.reap()
        self.clear()

    def read(self) -> bool:
        """One piece of output; False when there is none now."""
        try:
            data = os.read(self.pipe, PIECE)
        except BlockingIOError:
            return False
        if not data:
            os.close(self.pipe)
            self.pipe = -1
            return False
        self.log.add(data)
        return True

    def listen(self) -> bool:
        """What the runtime says; False once it is dead."""
        data = os.read(0, 65536)
        if not data:
            self.orphaned = True
            self.kill_at = time.monotonic() + ORPHANED_S
            self.go(signal.SIGCONT)
            send(self.pid, signal.SIGTERM, group=True)
            return False
        *lines, self.words = (self.words + data).split(b"\n")
        for line in lines:
            if line == b"term":
                self.go(signal.SIGCONT)
                send(self.pid, signal.SIGTERM, group=True)
            elif line in (b"hold", b"go"):
                self.go(signal.SIGSTOP if line == b"hold" else signal.SIGCONT)
            elif line == b"kill":
                self.kill_at = time.monotonic()
            elif line.startswith(b"ack "):
                self.log.acknowledged = max(self.log.acknowledged, int(line[4:]))
        return True

    def go(self, number: int) -> None:
        """Let the whole tree stand still, or go on."""
        send(self.pid, number, group=True)
        for pid in descendants(os.getpid()):
            send(pid, number)

    def reap(self) -> bool:
        """Notice who has ended; False when nobody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)

    def clear(self) -> None:
        """Kill what is left of the tree, keep what it still wrote, and say how the program ended."""
        until = time.monotonic() + UNKILLABLE_S
        by_itself = self.status is not None
        send(self.pid, signal.SIGKILL, group=True)
        while self.reap() and time.monotonic() < until:
            for pid in descendants(os.getpid()):
                send(pid, signal.SIGKILL)
            time.sleep(0.01)
        left = 1 << 24  # a pipe holds 1 MB at most unless an administrator allows more
        while self.pipe >= 0 and left > 0 and self.read():
            left -= PIECE
        code = -signal.SIGKILL if self.status is None else self.status
        if by_itself and not self.orphaned:
            path = str(self.spec["outcome"])
            with contextlib.suppress(OSError):
                with open(path + ".part", "w") as file:
                    file.write(str(code))
                os.replace(path + ".part", path)
        say(f"exit {int(code)}")


def say(text: str) -> None:
    """One line to the runtime, if it lives."""
    with contextlib.suppress(OSError):
        os.write(1, text.replace("\n", " ").encode() + b"\n")


def main() -> None:
    """Read what to keep, and keep it."""
    prctl(SUBREAPER, 1)
    Keeper(marshal.loads(read_all(int.from_bytes(read_all(4), "little")))).loop()


def read_all(size: int) -> bytes:
    """So many bytes of standard input; ends when the runtime dies before they came."""
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            raise SystemExit(1)
        data += piece
    return data


if __name__ == "__main__":
    main()
