"""Tasks as SkyPilot writes them: its forms are read, what is wrong is named with its line, all of it at once, and nothing crashes."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.base.errors import InputError
from aether.fabric.task import Task, accelerator, check, read, unknown_accelerators
from aether.scenario import document
from aether.scenario.catalog import packaged

# the form of SkyPilot's "Task YAML" page, docs.skypilot.co/en/latest/reference/yaml-spec.html, with the fabric's own values
SKYPILOT = """
name: my-task
workdir: ~/my-project
num_nodes: 4
resources:
  accelerators: H100:8
  cpus: 4+
  memory: 32GB+
  use_spot: true
  any_of:
    - accelerators: {B200: 4}
    - use_spot: false
envs:
  MODEL: llama
  SIZE: 8
  DEBUG: true
file_mounts:
  ~/data: ./data
setup: |
  echo setup
run: |
  torchrun --nnodes $WORLD_SIZE train.py
orbit:
  where: [ships]
  jurisdictions: [US, IE]
  place: Dublin
  max_round_trip: 60 ms
  grace: 1 min
  checkpoint: ~/ckpt
  deadline: 2 h
  priority: 900
"""


def problems(text):
    with pytest.raises(InputError) as caught:
        check(document.parse(text, "task.yaml"))
    return [str(p) for p in caught.value.problems]


def test_a_skypilot_task_is_read_with_what_orbit_adds():
    task = check(document.parse(SKYPILOT, "task.yaml")).task
    assert (task.num_nodes, task.envs) == (4, {"MODEL": "llama", "SIZE": "8", "DEBUG": "true"})
    first, second = task.resources.ways
    assert (first.accelerators, first.cpus, first.memory, first.use_spot) == ({"B200": 4}, 4.0, 32.0, True)
    assert (second.accelerators, second.use_spot) == (
        {"H100": 8},
        True,
    )  # what a way leaves at its default is taken from beside it
    assert task.orbit.max_round_trip == pytest.approx(0.06)
    assert (task.orbit.grace, task.orbit.deadline) == (60.0, 7200.0)
    assert Task.model_validate_json(task.model_dump_json()) == task
    assert Task.model_validate_json(task.model_dump_json()).resources.ways == task.resources.ways


@pytest.mark.parametrize(
    ("given", "name", "count"),
    [("H100:8", "H100", 8), ("B200", "B200", 1), ({"a100-80gb": 2}, "a100-80gb", 2), ({"H100": None}, "H100", 1)],
)
def test_accelerators_are_named_in_any_of_the_usual_ways(given, name, count):
    assert Task.model_validate({"run": "x", "resources": {"accelerators": given}}).resources.accelerators == {
        name: count
    }


@pytest.mark.parametrize(
    ("given", "ways"),
    [
        ("{L4:8, A100:4}", [("L4", 8), ("A100", 4)]),  # a set, as YAML reads it: names without values
        ("[H100:8, B200]", [("H100", 8), ("B200", 1)]),
        ("{H100: 8, B200: 4}", [("H100", 8), ("B200", 4)]),
        ("{H100:8}", [("H100", 8)]),
    ],
)
def test_sets_and_lists_of_accelerators_are_ways_to_choose_from(given, ways):
    text = f"run: x\nresources:\n  cpus: 4+\n  accelerators: {given}\n"
    made = check(document.parse(text)).task
    assert [(dict(w.accelerators), w.cpus) for w in made.resources.ways] == [({n: c}, 4.0) for n, c in ways]
    assert Task.model_validate_json(made.model_dump_json()) == made


def test_an_accelerator_that_is_unknown_has_the_nearest_beginning_of_a_name():
    (told,) = unknown_accelerators(
        check(document.parse("run: x\nresources: {accelerators: gb3OO:1}\n")).task, packaged()
    )
    assert told.nearest == "gb300"


def test_a_set_within_any_of_and_one_beside_it_are_ways_too():
    beside = (
        "run: x\nresources: {accelerators: [H100:1, B200:1], any_of: [{cpus: 4}, {accelerators: [A100:2, V100:2]}]}\n"
    )
    ways = check(document.parse(beside)).task.resources.ways
    assert [next(iter(w.accelerators)) for w in ways] == ["H100", "B200", "A100", "V100"]
    assert [w.cpus for w in ways] == [4.0, 4.0, None, None]


@pytest.mark.parametrize(
    "given", ["[]", "{}", "[H100:x]", "[3]", "[{H100: 1, B200: 1}]", "{H100: {a: b}}", "[[H100:1]]"]
)
def test_sets_that_are_none_are_refused(given):
    assert "resources." in problems(f"run: x\nresources: {{accelerators: {given}}}\n")[0]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("H100", "h100-sxm"),
        ("gb300", "gb300-nvl72"),
        ("A100-80GB", "a100-80gb"),
        ("B200", "b200"),
        ("b2", None),
        ("H1000", None),
    ],
)
def test_an_accelerator_is_known_by_its_own_name_or_how_that_begins(asked, found):
    assert accelerator(asked, packaged().kind("accelerators")) == found


def test_all_that_is_wrong_is_told_at_once_with_lines_and_nearest_names():
    told = problems(
        "nmae: x\nnum_nodes: 0\nresources:\n  accelerators: H100:none\n  region: eu\nenvs: {RANK: 1}\n"
        "file_mounts: {/etc: a, ~/../b: c}\norbit: {deadline: soon, pirority: 3}\n"
    )
    text = "\n".join(told)
    assert "task.yaml:1: nmae: unknown key 'nmae'; did you mean 'name'?" in text
    assert "task.yaml:2: num_nodes:" in text
    assert "task.yaml:4: resources.accelerators: H100: 'none' is no whole number" in text
    assert "task.yaml:5: resources.region: 'region' chooses among clouds" in text
    assert "task.yaml:6: envs: 'RANK' is set by the fabric" in text
    assert "'/etc' does not lie under the job's home" in text
    assert "'~/../b' does not lie under the job's home" in text
    assert "task.yaml:8: orbit.deadline" in text
    assert "did you mean 'priority'?" in text
    assert "run: is missing" in text


@pytest.mark.parametrize("key", ["secrets", "service", "pool", "outputs"])
def test_what_is_not_taken_says_what_to_do_instead(key):
    (told,) = problems(f"run: x\n{key}: {{a: b}}\n")
    assert f"'{key}' is not taken here. " in told


def test_unknown_accelerators_have_their_line_and_the_nearest_name():
    file = check(
        document.parse(
            "run: x\nresources:\n  any_of:\n    - accelerators: H200:1\n    - accelerators: H20O:1\n", "task.yaml"
        )
    )
    (told,) = unknown_accelerators(file.task, packaged(), file.text)
    assert str(told).startswith(
        "task.yaml:5: resources.any_of[1].accelerators: unknown accelerator 'h20o'; did you mean 'h200'?"
    )


@pytest.mark.parametrize("text", ["", "- a\n", "42", "run: [", "run: \0", "\ufeff", "a: &a [*a]", "run: x\nrun: y\n"])
def test_a_text_that_is_no_task_is_refused_by_name(tmp_path, text):
    file = tmp_path / "task.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        read(file)


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["~/a", "H100:8", "2 h", "../x", "{}"])
)
values = st.recursive(
    leaves,
    lambda x: (
        st.lists(x, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["accelerators", "array", "after"]), x, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*Task.model_fields, "secrets", "x"]), values, max_size=6))
def test_whatever_stands_in_a_file_it_is_a_task_or_refused_by_name(data):
    try:
        made = check(document.parse(yaml.safe_dump(data), "task.yaml")).task
    except InputError:
        return
    assert Task.model_validate_json(made.model_dump_json()) == made
