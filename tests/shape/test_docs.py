"""The pages say what the program does: generated ones are up to date, commands and options documented, examples listed."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from aether.cli import app
from aether.scenario.load import examples
from aether.study.claims import known

ROOT = Path(__file__).resolve().parents[2]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROSE = "\n".join(
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/tutorial.md", "docs/fabric.md")
)
COMMAND = re.compile(
    r"(?:^|`|\|\s*)aether ((?:(?:catalog|keys|projects|audit|serve) )?[a-z]+(?:-[a-z]+)*)([^`|\n]*)", re.MULTILINE
)


def pages():
    """tools/pages.py as a module."""
    found = importlib.util.spec_from_file_location("pages", ROOT / "tools" / "pages.py")
    module = importlib.util.module_from_spec(found)
    sys.modules["pages"] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


def commands():
    """Command -> its options, from the program itself."""
    made = {}

    def walk(group, prefix):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                walk(command, f"{prefix}{name} ")
            if not hasattr(command, "commands") or command.invoke_without_command:
                options = (o for p in command.params for o in p.opts if o.startswith("--"))
                made[f"{prefix}{name}"] = set(options) - {"--help"}

    walk(typer.main.get_command(app), "")
    return made


def same(told, made):
    """Whether two pages are the same but for the last digits of numbers, which may differ between processors."""
    split = re.compile(r"(?<![\w.-])(-?\d+\.?\d*(?:e[+-]?\d+)?)(?![\w.-])")
    a, b = split.split(told), split.split(made)
    if len(a) != len(b) or a[::2] != b[::2]:
        return False
    return all(float(x) == pytest.approx(float(y), rel=0.02, abs=1e-6) for x, y in zip(a[1::2], b[1::2], strict=True))


@pytest.fixture(scope="module")
def generated():
    return pages().tables()


@pytest.mark.parametrize("name", ["validation.md", "assumptions.md"])
def test_generated_page_is_up_to_date(generated, name):
    path = ROOT / "docs" / name
    assert same(path.read_text(encoding="utf-8"), generated[path]), "run `make docs`"


def test_the_readme_tells_the_headline_of_validation(generated):
    line = next(x for x in generated[ROOT / "docs" / "validation.md"].splitlines() if x.startswith("**"))
    assert line in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_claim_is_on_its_page_with_the_verdict_that_was_reached():
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    reached = json.loads(text.partition("```json\n")[2].partition("```")[0])
    assert list(reached) == list(known())
    assert dict(re.findall(r"^## (C\d+): (.*)$", text, re.MULTILINE)) == reached
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| C\d+ ", line)]
    assert {row[0]: row[2] for row in rows} == reached
    assert {row[0]: row[1] for row in rows} == {name: one["says"] for name, one in known().items()}


@pytest.mark.parametrize("command", sorted(commands()))
def test_command_and_its_options_are_documented(command):
    row = next(
        x
        for x in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if re.match(rf"\| `aether {command}[ `]", x)
    )
    assert set(re.findall(r"--[a-z-]+", row)) == commands()[command]


def test_pages_use_only_commands_and_options_that_exist():
    known = commands()
    for command, rest in COMMAND.findall(PROSE):
        assert command in known, command
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known[command], (command, rest)


def test_every_example_is_listed():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z0-9-]+)` \|", readme, re.MULTILINE))
    assert listed == set(examples())


def test_every_result_table_is_named(run_engine):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", readme.partition("Parquet tables\n(")[2].partition(")")[0]))
    assert named == set(run_engine("project-aether", duration="5 min").tables)


@pytest.mark.parametrize("path", DOCS, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link


def test_every_output_block_is_filled():
    for path in (ROOT / "README.md", ROOT / "docs" / "tutorial.md"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<!-- (output|figures).*-->\n<!-- end -->", text), "run `make docs`"


def test_pictures_are_small():
    found = list((ROOT / "docs" / "pictures").glob("*.png"))
    assert found
    assert all(p.stat().st_size < 400_000 for p in found)


def test_every_file_of_others_data_is_in_the_notice():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for word in ("GeoNames", "Julien Simon", "Natural Earth", "AP8", "ITU-R", "Apache License"):
        assert word in notice
    for name in re.findall(r"^src/\S+", notice, re.MULTILINE):
        assert (ROOT / name).is_file(), name


def test_nothing_mentions_a_path_of_one_machine():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    home = re.compile(r"(?<![\w.])/(?:work|home|root|Users|tmp)/\w")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in (".npz", ".png", ".parquet") or not path.is_file():
            continue
        assert not home.search(path.read_text(encoding="utf-8")), name
