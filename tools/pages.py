"""Write the pages that are made, not typed: `python tools/pages.py`.

docs/validation.md comes from the validation cases and docs/assumptions.md from the catalog (`--tables` writes these two
alone); docs/claims.md comes from the runs of `aether claims`. In README.md, docs/tutorial.md and docs/performance.md the
commands are run, in an empty folder and in the order of the pages, and what they print is written under them; so are the
figures of the README, and its picture from the report of the default day.

In a page:
    a code block with the language sh or python, followed by `<!-- output -->`, is run and its output written down to
    `<!-- end -->`; `<!-- output: Deliverable ... Binding -->` keeps only the lines from the one that holds the first text
    to the end of the paragraph that holds the second;
    a code block whose language is followed by a file name is written to that file;
    `<!-- figures: NAME -->` to `<!-- end -->` is written by the function of that name below.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aether.base.provenance import Assumption
from aether.base.units import fmt
from aether.scenario import catalog as parts
from aether.study import claims, validation
from aether.study import models as _models  # noqa: F401 - registers the models

ROOT = Path(__file__).resolve().parent.parent
GENERATED = "<!-- Written by tools/pages.py; change the code or the data, then `make docs`. -->\n"
PAGES = ("README.md", "docs/tutorial.md", "docs/performance.md")
PICTURE = ROOT / "docs" / "pictures" / "project-aether.png"
WINDOW = "1240,1250"  # of the picture [pixels]
DAY = Path("aether-results/project-aether")  # where `aether run` leaves the default day
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


# Tables


def _row(*cells: str) -> str:
    return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"


def _table(head: tuple[str, ...], right: set[int], rows: list[tuple[str, ...]]) -> list[str]:
    rule = "|" + "|".join(" ---: " if i in right else " --- " for i in range(len(head))) + "|"
    return [_row(*head), rule, *(_row(*r) for r in rows), ""]


def validation_page(outcome: dict[str, Any]) -> str:
    """docs/validation.md from what `aether.study.validation.validate` returns."""
    topics: dict[str, list[dict[str, Any]]] = {}
    for case in outcome["cases"]:
        topics.setdefault(case["model"].partition(".")[0], []).append(case)
    lines = [
        "# Validation", "", GENERATED,
        "Published results beside what the models compute from the same inputs; `aether validate` prints the same, and "
        "`aether validate --cases FILE` adds your own. The cases are data: `src/aether/study/validation.yaml`.", "",
        headline(outcome), "",
        "*expected mismatch*: the published figure does not follow from its own inputs, and ours must not agree with it. "
        "*identity*: a mere division; *report*: shown beside ours without a tolerance; neither is counted. \"same\" is the "
        "source of the row above.", "",
    ]  # fmt: skip
    for topic, cases in topics.items():
        lines += [f"## {topic}", "", *_table(
            ("case", "model: output", "published", "computed", "error", "tolerance", "status", "source and note"), {2, 3, 4, 5},
            [_case(c) for c in cases],
        )]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def _case(c: dict[str, Any]) -> tuple[str, ...]:
    unit = "" if c["unit"] == "1" else f" {c['unit']}"
    status = "expected mismatch" if c["status"] == "expected-mismatch" else c["status"]
    shown = c["kind"] if c["kind"] == "report" else status + (", identity" if c["kind"] == "identity" else "")
    told = ". ".join(str(c[k]) for k in ("source", "note") if c[k])
    return (c["id"], f"`{c['model']}`: {c['output']}", f"{c['published']:.6g}{unit}", f"{c['computed']:.5g}{unit}",
            _apart(c, c["error"]), _apart(c, c["tolerance"]), shown, told)  # fmt: skip


def _apart(c: dict[str, Any], value: float | None) -> str:
    """An error or tolerance as it is meant: in the case's unit, as a factor, or relative."""
    if value is None:
        return ""
    if c["tolerance"] is not None and c["tolerance"] > 1.0 and c["error"] >= 1.0:
        return f"factor {value:.3g}"
    if c["error"] and math.isclose(c["error"], abs(c["computed"] - c["published"]), rel_tol=1e-4, abs_tol=1e-9):
        return f"{value:.2g}" if c["unit"] == "1" else f"{value:.2g} {'points' if c['unit'] == '%' else c['unit']}"
    return f"{100 * value:.2g} %"


def headline(outcome: dict[str, Any]) -> str:
    """The result of `aether validate` in a sentence."""
    told = outcome["headline"]
    return (
        f"**{told['pass']} of {told['counted']} published results reproduced within tolerance, {told['miss']} missed.** "
        f"{told['expected_mismatch']} contradictions in the sources are shown; {told['identities']} identities and "
        f"{told['reports']} reports are not counted."
    )


def assumptions_page(catalog: parts.Catalog) -> str:
    """docs/assumptions.md from the catalog."""
    lines = [
        "# Assumptions", "", GENERATED,
        "Every number that a run may rest on, with its range and source. A run's own list is in its `manifest.json` and at "
        "the foot of its report; `aether explain NAME` prints one; `--catalog DIR` replaces any by the same schema.", "",
        "Confidence: *measured* (flown or tested), *published* (a paper or a filing), *disclosed* (a company's words), "
        "*estimated* (ours). A number without words of its own has the source of its part.", "",
    ]  # fmt: skip
    for kind in parts.KINDS:
        entries = catalog.kind(kind)
        lines += [f"## {kind}", ""]
        if kind in ("cities", "gateways"):
            one = next(iter(entries.values()))
            lines += [f"{len(entries):,} {kind} by name and position. Source: {one.source}, {one.date}.", ""]
        elif kind == "grids":
            lines += _grids(entries)
        elif kind == "assumptions":
            found = [catalog.assume(n) for n in entries]
            lines += _assumptions([(a.name, a) for a in found], "")
        else:
            for part in entries.values():
                lines += _part(part)
    return "\n".join(lines).rstrip() + "\n"


def _grids(entries: dict[str, Any]) -> list[str]:
    """All grids in one table: carbon and price of a kilowatt-hour."""
    first = next(iter(entries.values()))
    rows = [(g.name, g.title, *(fmt(getattr(a, k), a.unit) for a in (g.carbon, g.price) for k in ("low", "value", "high")), g.price.source)
            for g in entries.values()]  # fmt: skip
    head = ("grid", "country", "CO2e, least", "CO2e", "most", "price, least", "price", "most", "source of the price")
    return [f"Source of the carbon: {first.source}.", "", *_table(head, set(range(2, 8)), rows)]


def _part(part: parts.Part) -> Iterator[str]:
    yield f"### {part.name}"
    yield ""
    told = (
        f"{part.title or part.name}. Source: {part.source}{f' ({part.date})' if part.date else ''}; {part.confidence}."
    )
    yield told + (f" Note: {part.note}." if part.note else "")
    yield ""
    found = [(a.name.removeprefix(f"{part.name}."), a) for a in part.assumptions()]
    if isinstance(part, parts.Mesh):
        for s in part.shells:
            yield f"- {s.planes} planes of {s.per_plane} at {fmt(s.altitude, 'm', 4)}, {s.inclination * 57.29577951:.4g} degrees"
        yield ""
    if found:
        yield from _assumptions(found, part.source)


def _assumptions(found: list[tuple[str, Assumption]], source: str) -> list[str]:
    rows = []
    for name, a in found:
        low, high = a.range
        span = "" if a.low is None and a.high is None else f"{fmt(low, a.unit)} to {fmt(high, a.unit)}"
        own = "" if a.source == source else f"{a.source}{f' ({a.date})' if a.date else ''}"
        rows.append((name, fmt(a.value, a.unit), span, a.confidence, ". ".join(t for t in (own, a.note) if t)))
    return _table(("number", "value", "range", "confidence", "source and note"), {1}, rows)


def claims_page(told: dict[str, Any]) -> str:
    """docs/claims.md from what `aether.study.claims.claims` returns."""
    counted = ", ".join(f"{count} *{word}*" for word, count in told["counts"].items() if count)
    lines = [
        "# Claims", "", GENERATED,
        "What three articles of May 2026 claimed of compute in orbit, in our words, put to the test by the twin. A verdict follows from the figures by the "
        "criterion beside it; `aether claims --html PATH` shows every figure with its range and scenario. All figures are modelled.", "",
        f"{len(told['claims'])} claims: {counted}.", "",
        *_table(("id", "claim", "verdict", "measured", "scenarios"), set(), [
            (c["id"], c["claim"], c["verdict"], c["words"], "; ".join(c["scenarios"])) for c in told["claims"]
        ]),
    ]  # fmt: skip
    for c in told["claims"]:
        live = [f"- the live fabric will measure: {c['live']}"] if c["live"] else []
        lines += [
            f"## {c['id']}: {c['verdict']}",
            "",
            f"- criterion: {c['criterion']}",
            *(f"- {t}" for t in c["conditions"]),
            *live,
            "",
        ]
    verdicts = json.dumps({c["id"]: c["verdict"] for c in told["claims"]}, indent=1)
    return "\n".join([*lines, "```json", verdicts, "```"]) + "\n"


# Pages with commands


@dataclass
class Bench:
    """An empty folder in which the commands of the pages are run."""

    folder: Path
    done: dict[str, str] = field(default_factory=dict)

    def run(self, language: str, code: str) -> str:
        """What a block of code prints; each block is run once."""
        if code not in self.done:
            shell = {"sh": ["bash", "-euc", code], "python": [sys.executable, "-c", code]}[language]
            ended = subprocess.run(
                shell,
                cwd=self.folder,
                env=self.environment(),
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            if ended.returncode:
                raise SystemExit(f"{code}\nended with {ended.returncode}:\n{ended.stdout}")
            self.done[code] = ended.stdout
        return self.done[code]

    def environment(self, **more: str) -> dict[str, str]:
        """The commands' environment: this interpreter's `aether` first, pages 100 columns wide."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1", **more}

    def summary(self) -> dict[str, Any]:
        """The summary of the default day."""
        self.run("sh", "aether run\n")
        return json.loads((self.folder / DAY / "summary.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    def timed(self, cache: Path) -> tuple[float, float]:
        """(seconds, MB at most) of the default day with compiled code kept in `cache`."""
        begun = time.perf_counter()
        out = self.folder / "timed"
        process = subprocess.Popen(
            ["aether", "run", "--out", str(out)],
            cwd=self.folder,
            env=self.environment(NUMBA_CACHE_DIR=str(cache)),
            stdout=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit("the timed run failed")
        return time.perf_counter() - begun, used.ru_maxrss / 1e3


def cut(text: str, keep: str) -> list[str]:
    """The lines from the one with the first text of `keep` to the end of the paragraph with the second."""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    if not keep:
        return lines
    first, _, last = (part.strip() for part in keep.partition("..."))
    start = next(i for i, line in enumerate(lines) if first in line)
    end = next(i for i, line in enumerate(lines) if i >= start and last in line)
    end = next((i for i, line in enumerate(lines) if i > end and not line), len(lines))
    return [*(["..."] if start else []), *lines[start:end], *(["..."] if end < len(lines) else [])]


def fill(text: str, bench: Bench) -> str:
    """A page with the output of its commands and its figures written anew."""
    made: list[str] = []
    lines = iter(text.splitlines())
    language, code, old = "", "", False
    for line in lines:
        if old:
            old = line != "<!-- end -->"
            if old:
                continue
        made.append(line)
        if line.startswith("```"):
            body: list[str] = []
            for inner in lines:
                made.append(inner)
                if inner == "```":
                    break
                body.append(inner)
            language, _, name = line.removeprefix("```").partition(" ")
            code = "\n".join(body) + "\n"
            if name:
                file = bench.folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(code, encoding="utf-8")
        elif found := re.fullmatch(r"<!-- output(?:: (.*))? -->", line):
            made += ["```text", *cut(bench.run(language, code), found[1] or ""), "```"]
            old = True
        elif found := re.fullmatch(r"<!-- figures: (\w+) -->", line):
            made += FIGURES[found[1]](bench)
            old = True
    return "\n".join(made) + "\n"


# Figures


def _ms(seconds: float | None) -> str:
    return "none" if seconds is None else f"{1e3 * seconds:.1f} ms"


def _answers(bench: Bench) -> list[str]:
    told = bench.summary()
    fleet, left, cities, probe = told["fleet"], told["waterfall"], told["cities"], told["probes"][0]
    most = max(told["ablation"], key=lambda r: abs(r["change"]))
    short = "; ".join(s["words"] for s in told["shortfalls"][:3])
    rows = [
        ("What can the fleet deliver in a day?", f"{left['deliverable']['gpu_hours']:,.0f} of {left['installed']['gpu_hours']:,.0f} GPU-hours "
         f"installed, {100 * left['deliverable']['share']:.1f} %"),
        ("What limits it?", told["binding"]["words"]),
        ("What is the design short of?", f"{short}; {len(told['shortfalls'])} shortfalls in all"),
        ("What does one effect cost?", f"without the {most['off']} coupling {100 * most['change']:+.1f} % of deliverable compute; "
         f"the run prints all {len(told['ablation'])}"),
        *_worth(told),
        ("How far is it from people?", f"{_ms(cities['rtt_mean_s'])} mean round trip (propagation) from the people of {fleet['cities']} cities to the "
         f"nearest ship that computes; {100 * told['coverage']['covered_share']:.1f} % of the globe's surface and time covered"),
        ("And beside fibre?", f"{probe['from']} to {probe['to']}: {_ms(probe['rtt_mean_s'])} propagation, {_ms(probe['delivered_mean_s'])} "
         f"delivered, {_ms(probe['fibre_s'])} by fibre"),
    ]  # fmt: skip
    about = (
        f"The default day: {fleet['ships']} ships with {fleet['gpus']:,} GPUs, {fleet['relays']:,} laser relays, {fleet['gateways']} gateways, "
        f"{told['duration_s'] / 3600:.0f} h at {told['step_s']:.0f} s, in the middle of eclipse season. All figures are modelled."
    )
    return [about, "", *_table(("question", "answer"), set(), rows)[:-1]]


def _worth(told: dict[str, Any]) -> list[tuple[str, str]]:
    """What the day's work came to, and what it cost."""
    asked, run, cost = told["work"]["inference"][0], told["work"]["training"][0], told["cost"]
    lost = ", ".join(f"{row['cause']} {100 * row['share']:.0f} %" for row in run["lost"][:4])

    def money(side: str) -> str:
        figure = cost[side]["usd_per_gpu_hour"]
        return f"{figure['nominal']:.2f} USD ({figure['low']:.2f} to {figure['high']:.2f})"

    return [
        ("What does it serve?", f"{asked['served'] / 1e9:.2f} of {asked['requests'] / 1e9:.2f} billion requests to {asked['model']}, "
         f"{asked['output_tokens'] / 1e9:,.0f} billion tokens of answer; first token after {asked['first_token_p50_s']:.2f} s, "
         f"95 % within {asked['first_token_p95_s']:.2f} s"),
        ("What does it train?", f"{run['tokens'] / 1e9:,.0f} billion tokens of {run['model']} on {run['gpus']:,.0f} GPUs over {len(run['hosts'])} ships; "
         f"{100 * run['goodput']:.0f} % of the time trains, the rest goes to {lost}"),
        ("What does a GPU-hour cost?", f"{money('orbit')} in orbit, {money('ground')} on the ground beside it, levelised over what could work: "
         f"{cost['ratio']['nominal']:.1f} times as much ({cost['ratio']['low']:.1f} to {cost['ratio']['high']:.1f})"),
    ]  # fmt: skip


def _accuracy(bench: Bench) -> list[str]:
    del bench
    outcome = validation.validate()
    apart = [c["error"] for c in outcome["cases"] if c["kind"] == "report"]
    reports = (
        f"The reports, set beside measured or disclosed figures whose conditions are not all known, are apart by {100 * min(apart):.0f} to "
        f"{100 * max(apart):.0f} %. [docs/validation.md](docs/validation.md) lists every case."
    )
    return [headline(outcome), "", reports]


def _speed(bench: Bench) -> list[str]:
    with tempfile.TemporaryDirectory() as cache:
        first, later = bench.timed(Path(cache)), bench.timed(Path(cache))
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return [
        f"Measured with `aether run` ({os.cpu_count()} cores of {model}, Python {platform.python_version()}): {first[0]:.0f} s on first use, "
        f"kernels compiled on the way, then {later[0]:.0f} s and {max(first[1], later[1]) / 1e3:.2f} GB at most, report and ablation included. "
        "`aether bench` times the parts on your machine."
    ]  # fmt: skip


def _bench(bench: Bench) -> list[str]:
    told = json.loads(bench.run("sh", "aether bench --quick --json\n"))

    def beside(row: dict[str, Any]) -> str:
        return ", ".join(f"{name} {value:,.3g}" for name, value in row["peers"].items())

    rows = [
        (
            r["name"],
            r["size"],
            f"{r['value']:,.3g}",
            "" if r.get("target") is None else f"{r['target']:g}",
            r["unit"],
            beside(r),
        )
        for r in told["rows"]
    ]
    return [
        f"Medians of {told['runs']} runs or more on {told['machine']}.",
        "",
        *_table(("work", "size", "measured", "target", "unit", "beside"), {2, 3}, rows)[:-1],
    ]


FIGURES: dict[str, Callable[[Bench], list[str]]] = {
    "answers": _answers,
    "accuracy": _accuracy,
    "speed": _speed,
    "bench": _bench,
}


def picture(report: Path) -> None:
    """The top of a report as a PNG, by a headless browser."""
    browser = next((b for b in BROWSERS if shutil.which(b)), None)
    if browser is None:
        print(f"no {' or '.join(BROWSERS)} here: {PICTURE.name} was left as it is")
        return
    PICTURE.parent.mkdir(exist_ok=True)
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WINDOW}", f"--screenshot={PICTURE}",
         "--virtual-time-budget=3000", report.as_uri()],
        check=True, capture_output=True,
    )  # fmt: skip


def tables() -> dict[Path, str]:
    """The two pages that need no run, by file."""
    return {
        ROOT / "docs" / "validation.md": validation_page(validation.validate()),
        ROOT / "docs" / "assumptions.md": assumptions_page(parts.packaged()),
    }


def main() -> None:
    """Write every page, or with --tables only those that need no run."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--tables", action="store_true", help="docs/validation.md and docs/assumptions.md alone")
    for path, text in tables().items():
        path.write_text(text, encoding="utf-8")
    if options.parse_args().tables:
        return
    (ROOT / "docs" / "claims.md").write_text(claims_page(claims.claims()), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in PAGES:
            page = ROOT / name
            page.write_text(fill(page.read_text(encoding="utf-8"), bench), encoding="utf-8")
        picture(bench.folder / DAY / "report.html")


if __name__ == "__main__":
    main()
