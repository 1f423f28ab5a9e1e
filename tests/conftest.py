"""Shared by all tests."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

from aether.engine.run import simulate
from aether.scenario.load import load
from postgres import database_url, postgres

__all__ = ["database_url", "postgres"]  # fixtures

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)  # the same examples every time
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="session")
def run_engine():
    """`run_engine(name, **overrides)`: an Outcome, kept for the session."""
    kept = {}

    def run(name, threads=1, **overrides):
        key = (name, threads, repr(sorted(overrides.items())))
        if key not in kept:
            kept[key] = simulate(load(name, {k.replace("__", "."): v for k, v in overrides.items()}), threads=threads)
        return kept[key]

    return run


@pytest.fixture
def aether(tmp_path):
    """`aether(*arguments)`: the command as a process in an empty folder: (exit code, standard output, standard error)."""
    import subprocess

    def call(*arguments, timeout=300, cwd=tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "aether", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=timeout,
            env={**os.environ, "COLUMNS": "120"},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return call
