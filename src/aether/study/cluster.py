"""Who works: processes of this machine, or those of a Ray cluster; a result for each task, once, as they come."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from aether.base.errors import InputError, Problem
from aether.base.processes import drop, spread

T = TypeVar("T")

CONNECT_S = 4.0  # for the address to answer at all
HEALTH_S = 9.0  # for what answers to prove itself a cluster's head
WAVE = 6  # tasks for each process at once: waiting for the last of them costs a tenth
AGAIN = {
    "num_cpus": 0.5,
    "max_restarts": -1,
    "max_task_retries": -1,
}  # a lost node's work goes to the others, for whom half a CPU is kept


def pooled(
    work: Callable[..., T], tasks: Sequence[tuple[Any, ...]], processes: int, ray_address: str | None = None
) -> Iterator[tuple[int, T]]:
    """(number of the task, its result) for each of the tasks, in any order, each exactly once.

    processes: of this machine; one works in this process. ray_address: "host:port" of a cluster's head, whose processes work instead;
    tasks of a node that is lost are done again by others.
    """
    if ray_address is not None:
        yield from _on_ray(work, tasks, ray_address)
    elif processes < 2 or len(tasks) < 2:
        for number, task in enumerate(tasks):
            yield number, work(*task)
    else:
        results = spread(work, tasks, min(processes, len(tasks)))
        try:
            yield from enumerate(results)
        finally:
            drop(results)


def check_address(address: str) -> None:
    """InputError unless a Ray cluster's head answers at host:port; within some seconds."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < 65536:
        raise InputError(
            Problem("--ray-address", f"'{address}' is not host:port", next="As in --ray-address 10.0.0.1:6379")
        )
    follow = "Start one with `ray start --head --port 6379`, or leave --ray-address out"
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), CONNECT_S).close()
    except OSError as error:
        raise InputError(
            Problem("--ray-address", f"no cluster answers at {address}: {error.strerror or error}", next=follow)
        ) from error
    try:
        import ray  # noqa: F401
    except ImportError as error:
        told = "a cluster needs Ray, which is not installed"
        raise InputError(Problem("--ray-address", told, next="pip install 'aether-fabric[cluster]'")) from error
    try:
        command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
        done = subprocess.run(command, capture_output=True, timeout=HEALTH_S).returncode
    except subprocess.TimeoutExpired:
        done = 1
    if done:
        raise InputError(Problem("--ray-address", f"what answers at {address} is no Ray cluster", next=follow))


def _on_ray(work: Callable[..., T], tasks: Sequence[tuple[Any, ...]], address: str) -> Iterator[tuple[int, T]]:
    """Tasks through joblib's backend on a cluster; what a lost node had in hand is handed out again."""
    check_address(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    import ray
    from ray.util.joblib import register_ray

    begun = not ray.is_initialized()
    with contextlib.redirect_stdout(
        sys.stderr
    ):  # where Ray tells of nodes that it lost: standard output is for results
        try:
            if begun:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            register_ray()
            yield from _wave_by_wave(work, tasks)
        except (ray.exceptions.RayError, ConnectionError) as error:
            told = f"the cluster at {address} is lost: {str(error).splitlines()[0]}"
            raise InputError(
                Problem("--ray-address", told, next="What has come so far is kept; run the same again to go on")
            ) from error
        finally:
            if begun:
                ray.shutdown()


def _wave_by_wave(work: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
    """Results of tasks; this backend of joblib hands a wave of them back at once."""
    import joblib

    with (
        joblib.parallel_config(backend="ray", ray_remote_args=AGAIN),
        joblib.Parallel(n_jobs=-1, batch_size=1, max_nbytes=None) as pool,
    ):
        wave = WAVE * joblib.effective_n_jobs(-1)
        for first in range(0, len(tasks), wave):
            here = tasks[first : first + wave]
            yield from enumerate(pool(joblib.delayed(work)(*task) for task in here), first)
