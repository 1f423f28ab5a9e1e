"""The shape of the house: the direction of imports, the size of rooms, words where words are due."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "src" / "aether").rglob("*.py"))
PURE = ("space", "network", "workloads", "placement", "operations", "economics")
LONGEST_MODULE = 500  # lines of code
LONGEST_FUNCTION = 60  # lines of code; past 40 asks for a second look


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def code_lines(node, text):
    """Lines that are neither blank, comment nor docstring."""
    words = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(inner) is not None:
            words.update(range(inner.body[0].lineno, inner.body[0].end_lineno + 1))
    first, last = (1, len(text)) if isinstance(node, ast.Module) else (node.lineno, node.end_lineno)
    return sum(
        1
        for i in range(first, last + 1)
        if i not in words and text[i - 1].strip() and not text[i - 1].strip().startswith("#")
    )


def test_imports_flow_one_way():
    command = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_short_and_says_what_it_holds(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not text.strip()
    assert code_lines(tree, text.splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short_and_public_ones_have_a_docstring(path):
    text = path.read_text(encoding="utf-8")
    long, bare = [], []
    for outer in ast.parse(text).body:
        inside = outer.body if isinstance(outer, ast.ClassDef) and not outer.name.startswith("_") else []
        for node in (outer, *inside):
            if isinstance(node, ast.FunctionDef) and code_lines(node, text.splitlines()) > LONGEST_FUNCTION:
                long.append(node.name)
            if (
                isinstance(node, ast.FunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ):
                bare.append(node.name)
    assert long == []
    assert bare == []


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[len(ROOT.parts) + 2] in PURE], ids=name_of)
def test_stage_is_pure(path):
    """No print, no clock, no random numbers, no files but the package's own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {a.name.partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {(n.module or "").partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not imported & {
        "time",
        "random",
        "os",
        "pathlib",
        "sys",
        "logging",
        "requests",
        "urllib",
        "socket",
        "subprocess",
    }
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not called & {"print", "open", "input"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_left_to_be_done_later(path):
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b", path.read_text(encoding="utf-8"))
