"""One name per quantity: what docs/glossary.md says is what the code says."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from aether.base import tables

ROOT = Path(__file__).resolve().parents[2]
UNITS = {  # ending: units that a row may name
    "_cm2_s": {"1/cm2/s"}, "_bit_s": {"bit/s"}, "_m_s": {"m/s"}, "_rad_s": {"rad/s"}, "_w_m2": {"W/m2"}, "_w_k": {"W/K"}, "_j_k": {"J/K"},
    "_m2": {"m2"}, "_m3": {"m3"}, "_kg": {"kg"}, "_deg": {"deg"}, "_rad": {"rad"}, "_share": {"1"}, "_m": {"m"}, "_s": {"s", "1/s"},
    "_w": {"W"}, "_j": {"J"}, "_k": {"K"}, "_gpu_s": {"GPU s"}, "_usd": {"USD"}, "_bit": {"bit"}, "_bytes": {"byte"},
}  # fmt: skip


def rows(heading):
    """The cells of the table under a heading of the glossary."""
    text = (
        (ROOT / "docs" / "glossary.md")
        .read_text(encoding="utf-8")
        .partition(f"## {heading}\n")[2]
        .partition("\n## ")[0]
    )
    return [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")][2:]


def entries():
    """Name -> unit of every row."""
    return {name: unit for names, _, unit in rows("Every name") for name in re.findall(r"`(\w+)`", names)}


def fields():
    return {
        f.name
        for record in vars(tables).values()
        if dataclasses.is_dataclass(record)
        for f in dataclasses.fields(record)
    }


def test_every_field_of_the_records_is_in_the_glossary():
    assert fields() <= set(entries())


def columns(run_engine):
    """Of all tables that a run can make: two examples have every kind of work."""
    runs = [run_engine(name, duration="5 min") for name in ("project-aether", "logistics")]
    return {c for made in runs for table in made.tables.values() for c in table.column_names}


def test_every_column_of_the_results_is_in_the_glossary(run_engine):
    assert columns(run_engine) <= set(entries())


def test_the_glossary_names_nothing_that_is_gone(run_engine):
    assert set(entries()) <= fields() | columns(run_engine)


@pytest.mark.parametrize("name", sorted(entries()))
def test_a_name_ends_in_the_unit_that_the_glossary_gives(name):
    ending = next((e for e in sorted(UNITS, key=len, reverse=True) if name.endswith(e)), None)
    if ending:
        assert entries()[name] in UNITS[ending]


def test_rows_are_sorted_and_named_once():
    names = [re.findall(r"`(\w+)`", row[0])[0] for row in rows("Every name")]
    assert names == sorted(set(names))


def public_names():
    """Names of public functions' parameters and of public classes' fields, with their file."""
    for path in sorted((ROOT / "src" / "aether").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                for argument in (*node.args.args, *node.args.kwonlyargs):
                    yield argument.arg, path.name
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                for item in node.body:
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                        yield item.target.id, path.name


def test_no_public_name_is_one_that_the_glossary_refuses():
    refused = {name.strip() for row in rows("Names to choose and to avoid") for name in row[2].split(",")}
    assert refused
    found = sorted({f"{file}: {name}" for name, file in public_names() if name in refused})
    assert found == []
