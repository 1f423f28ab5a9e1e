"""Hardware, launchers, meshes and places as data files with sources; `--catalog DIR` adds or overrides by the same schema.

A catalog file is YAML: `kind: {name: {field: value, ...}}`. Each entry carries `source`, `date` and `confidence`, which
hold for all its numbers unless a number says otherwise. A number is "value unit" or [low, nominal, high].
"""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aether.base.errors import InputError, Problem, unknown
from aether.base.provenance import Assumption, Confidence
from aether.scenario import document
from aether.scenario.hardware import (
    Angle,
    BitRate,
    ByteRate,
    Bytes,
    EnergyPrice,
    Flops,
    Hardware,
    Length,
    Mass,
    Number,
    Power,
    PowerPrice,
    Price,
    Rate,
    Share,
    Temperature,
    Time,
    Volume,
)
from aether.scenario.hardware import Battery as Battery
from aether.scenario.hardware import Part as Part
from aether.scenario.hardware import Radiator as Radiator
from aether.scenario.hardware import Ship as Ship
from aether.scenario.hardware import SolarArray as SolarArray
from aether.scenario.quantity import Sourced, Unit


class Accelerator(Part):
    """GPUs as they are bought: a card, a node or a rack with its host and switches."""

    gpus: int = Field(ge=1, description="GPUs in one unit (card, node or rack)")
    power: Power = Field(description="one GPU at full clocks")
    idle_power: Power = Field(description="one GPU powered but waiting")
    host_power: Power = Field(description="CPU, memory, switches and network per GPU")
    bf16: Flops = Field(description="dense BF16 per GPU")
    fp8: Flops | None = Field(None, description="dense FP8 per GPU")
    fp4: Flops | None = Field(None, description="dense FP4 per GPU")
    memory: Bytes = Field(description="per GPU")
    memory_rate: ByteRate = Field(description="per GPU")
    domain: int = Field(1, ge=1, description="GPUs joined by the scale-up fabric (NVLink, ICI)")
    domain_rate: ByteRate | None = Field(None, description="scale-up fabric per GPU, both ways summed")
    unit_mass: Mass = Field(description="one unit as installed on the ground")
    unit_volume: Volume = Field(description="one unit as installed on the ground")
    chip_limit: Temperature = Field(description="junction temperature at which clocks fall")
    coolant_limit: Temperature = Field(description="warmest coolant supply at full clocks")
    chip_resistance: Number = Field(description="junction to cold plate of one GPU [K/W]")
    price: Price | None = Field(None, description="one unit")


class Terminal(Hardware):
    """A laser terminal."""

    rate: BitRate = Field(description="of the modem, each way")
    range: Length = Field(description="longest link kept in service")
    power: Power = Field(description="drawn by one terminal")
    mass: Mass
    transmit_power: Power = Field(description="optical, per channel")
    channels: int = Field(1, ge=1, description="wavelengths")
    wavelength: Length
    aperture: Length = Field(description="diameter")
    losses: Annotated[Assumption, Sourced(Unit("dB", most=0.0))] = Field(
        description="optics, pointing and implementation"
    )
    photons_per_bit: Number
    field_of_view: Angle = Field(description="half-angle about the boresight that the gimbal reaches")
    acquisition: Time = Field(description="from the command to the first bit, slewing and settling included")
    price: Price | None = Field(None, description="one terminal")


class Launcher(Part):
    """A launch vehicle."""

    payload: Mass = Field(description="to the low orbits of this catalog, reusable where it is reused")
    bay_diameter: Length
    bay_volume: Volume
    price: Price = Field(description="one launch")


class Shell(BaseModel):
    """A Walker shell of relays."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    planes: int = Field(ge=1, le=20_000)
    per_plane: int = Field(ge=1, le=20_000)
    altitude: Annotated[float, Unit("m", least=150e3, most=2_000e3)]
    inclination: Annotated[float, Unit("rad", least=0.0, most=3.14159265359)]
    phasing: float = Field(
        0.0, ge=0, description="Walker F: offset of the next plane in units of 360 deg over all satellites"
    )
    odd_plane_offset: float = Field(0.0, ge=0, lt=1, description="offset of odd planes in slots, instead of F")
    raan_spread: Annotated[float, Unit("rad", above=0.0, most=6.2831853072)] = Field(
        6.283185307179586, description="360 deg for a delta, 180 deg for a star"
    )


class Mesh(Part):
    """Relays of one operator: shells from a filing and the laser terminal they carry."""

    shells: tuple[Shell, ...] = Field(min_length=1)
    terminal: str = "starlink-laser"


class LanguageModel(Part):
    """A transformer: what its arithmetic needs, in the names of published configurations."""

    layers: int = Field(ge=1)
    hidden: int = Field(ge=1, description="width of the residual stream")
    heads: int = Field(ge=1, description="query heads")
    kv_heads: int = Field(ge=1, description="key and value heads; equal to heads without grouping")
    head_dim: int = Field(ge=1)
    ffn: int = Field(ge=1, description="width of a dense feed-forward block")
    gated: bool = Field(True, description="three feed-forward matrices (SwiGLU) instead of two")
    vocabulary: int = Field(ge=1)
    tied: bool = Field(False, description="input and output embedding are one")
    experts: int = Field(0, ge=0, description="routed experts of a layer; 0 for a dense model")
    active_experts: int = Field(0, ge=0, description="routed experts that a token passes")
    shared_experts: int = Field(0, ge=0, description="experts that every token passes")
    expert_ffn: int = Field(0, ge=0, description="width of one expert")
    dense_layers: int = Field(0, ge=0, description="leading layers without experts")
    query_rank: int = Field(0, ge=0, description="latent attention: rank of the query projection, 0 for none")
    kv_rank: int = Field(0, ge=0, description="latent attention: cached latent per token, 0 for plain heads")
    rope_dim: int = Field(0, ge=0, description="latent attention: rotary part of a head, cached once")
    value_dim: int = Field(0, ge=0, description="latent attention: width of a value head, 0 for head_dim")
    positions: int = Field(0, ge=0, description="learned position embeddings, 0 for rotary ones")
    context: int = Field(0, ge=0, description="longest context, 0 where not said")
    published_parameters: Number | None = Field(None, description="as the authors count them, for comparison")
    published_active: Number | None = Field(None, description="passed by one token, as the authors count them")


class Site(Part):
    """A class of ground data centre."""

    accelerator: str
    pue: Annotated[Assumption, Sourced(Unit("1", least=1.0))] = Field(description="facility power over IT power")
    wue: Annotated[Assumption, Sourced(Unit("kg/J", least=0.0))] = Field(description="water over IT energy")
    facility_price: PowerPrice = Field(description="building, power and cooling over IT power, without IT")
    facility_life: Time
    network_price: PowerPrice = Field(description="network inside and to the site over IT power")
    operations: Annotated[Assumption, Sourced(Unit("USD/W/s", least=0.0))] = Field(
        description="staff and maintenance over IT power and time"
    )
    cost_of_capital: Rate = Field(description="weighted, a year")


class Grid(Part):
    """Electricity of a country."""

    country: str = Field(description="two letters")
    carbon: Annotated[Assumption, Sourced(Unit("kg/J", least=0.0))] = Field(description="CO2 equivalent")
    price: EnergyPrice = Field(description="to a large industrial customer")


class Lengths(Part):
    """How long requests and answers are: quantiles of a measured service."""

    input_mean: Number
    output_mean: Number
    shares: tuple[float, ...] = Field(description="of requests no longer than")
    input_tokens: tuple[float, ...]
    output_tokens: tuple[float, ...]


class Calibration(Part):
    """What a model reached on an accelerator, fitted to the log of a real server; `source` is the log's origin."""

    model: str
    accelerator: str
    precision: Literal["bf16", "fp8", "fp4"]
    compute_efficiency: Share = Field(description="share of peak FLOP/s")
    bandwidth_efficiency: Share = Field(description="share of peak memory bandwidth")
    iteration_overhead: Time = Field(description="of each iteration")
    fit_error: Number = Field(description="largest relative error of mean TPOT, TTFT and end-to-end time on the log")
    held_out_error: Number | None = Field(
        None, description="largest relative error of mean TPOT and end-to-end time on a log that was not fitted"
    )


class City(Part):
    """A place people live in."""

    country: str
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    population: int = Field(ge=0)


class Gateway(Part):
    """A ground station of an operator."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    status: str = "operational"
    type: str = Field("gateway", description="gateway, or pop for a point of presence without antennas")


class General(Part):
    """A number that belongs to no part."""

    unit: str = Field(description="SI unit")
    value: Any
    low: Any = None
    high: Any = None
    above: float | None = Field(
        None, description="it must lie above this, in the unit; never below zero but for decibels"
    )
    most: float | None = Field(None, description="and not above this")

    def quantity(self) -> Unit:
        """What it may be."""
        return Unit(self.unit, above=self.above, least=None if self.unit == "dB" else 0.0, most=self.most)


KINDS: dict[str, type[Part]] = {
    "accelerators": Accelerator, "arrays": SolarArray, "batteries": Battery, "radiators": Radiator, "terminals": Terminal,
    "launchers": Launcher, "ships": Ship, "meshes": Mesh, "cities": City, "gateways": Gateway,
    "models": LanguageModel, "sites": Site, "grids": Grid, "lengths": Lengths,
    "calibrations": Calibration, "assumptions": General,
}  # fmt: skip


@dataclass(frozen=True)
class Catalog:
    """Parts by kind and name."""

    parts: dict[str, dict[str, Part]] = field(default_factory=dict)

    def kind(self, kind: str) -> dict[str, Part]:
        """All parts of a kind, by name."""
        return self.parts.get(kind, {})

    def get(self, kind: str, name: str, path: str = "") -> Any:
        """One part; InputError with the nearest name when unknown."""
        if name not in self.kind(kind):
            raise InputError(unknown(path, kind.rstrip("s"), name, self.kind(kind)))
        return self.kind(kind)[name]

    def accelerator(self, name: str) -> Accelerator:
        """An accelerator by name."""
        return self.get("accelerators", name)

    def array(self, name: str) -> SolarArray:
        """A solar array by name."""
        return self.get("arrays", name)

    def battery(self, name: str) -> Battery:
        """A battery by name."""
        return self.get("batteries", name)

    def radiator(self, name: str) -> Radiator:
        """A radiator by name."""
        return self.get("radiators", name)

    def terminal(self, name: str) -> Terminal:
        """A laser terminal by name."""
        return self.get("terminals", name)

    def launcher(self, name: str) -> Launcher:
        """A launcher by name."""
        return self.get("launchers", name)

    def ship(self, name: str) -> Ship:
        """A ship by name."""
        return self.get("ships", name)

    def mesh(self, name: str) -> Mesh:
        """A mesh by name."""
        return self.get("meshes", name)

    def model(self, name: str) -> LanguageModel:
        """A language model by name."""
        return self.get("models", name)

    def site(self, name: str) -> Site:
        """A class of ground data centre by name."""
        return self.get("sites", name)

    def grid(self, name: str) -> Grid:
        """The electricity of a country by its two letters."""
        return self.get("grids", name.lower())

    def lengths(self, name: str) -> Lengths:
        """Lengths of requests and answers by name."""
        return self.get("lengths", name)

    def assume(self, name: str) -> Assumption:
        """A number that belongs to no part, as "access.scheduling"."""
        part = self.get("assumptions", name)
        return general(part)

    def value(self, name: str) -> float:
        """The nominal value of such a number, SI."""
        return self.assume(name).value


def general(part: General) -> Assumption:
    """The Assumption of a general entry."""
    unit = part.quantity()
    low, high = (None if v is None else unit.read(v) for v in (part.low, part.high))
    value = unit.read(part.value)
    if not (value if low is None else low) <= value <= (value if high is None else high):
        raise ValueError("the range must be in order: low, value, high")
    return Assumption(part.name, value, part.unit, part.source, part.date, part.confidence, low, high, part.note)


@cache
def packaged() -> Catalog:
    """The catalog inside the package."""
    folder = resources.files("aether.scenario") / "data"
    catalog: dict[str, dict[str, Part]] = {kind: {} for kind in KINDS}
    problems: list[Problem] = []
    for item in sorted(folder.iterdir(), key=lambda f: f.name):
        if item.name.endswith(".yaml"):
            problems += _add(catalog, document.parse(item.read_text(encoding="utf-8"), item.name))
    if problems:
        raise InputError(problems)
    catalog["cities"] |= _rows(folder / "cities.csv", City, "GeoNames, CC BY 4.0", "2026", "published")
    catalog["gateways"] |= _rows(
        folder / "gateways.csv", Gateway, "juliensimon/starlink-viz, MIT", "2026-03-20", "published"
    )
    return Catalog(catalog)


def _rows(item: Any, kind: type[Part], source: str, date: str, confidence: Confidence) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for row in csv.DictReader(io.StringIO(item.read_text(encoding="utf-8"))):
        values: dict[str, Any] = {**row, "title": row["name"], "source": source, "date": date, "confidence": confidence}
        values |= {k: float(row[k]) for k in ("latitude", "longitude")}
        if "population" in row:
            values["population"] = int(row["population"])
        parts[row["name"]] = kind.model_construct(None, **values)  # our own file: not checked again at every start
    return parts


def load(folder: Path | None = None) -> Catalog:
    """The packaged catalog, with the YAML files of a folder added or overriding entry by entry."""
    base = packaged()
    if folder is None:
        return base
    if not folder.is_dir():
        raise InputError(Problem("", f"the catalog folder {folder} does not exist", next="Name a folder of YAML files"))
    files = sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
    if not files:
        raise InputError(Problem("", f"the catalog folder {folder} holds no YAML file"))
    parts = {kind: dict(items) for kind, items in base.parts.items()}
    problems: list[Problem] = []
    for path in files:
        problems += _add(parts, document.read(path))
    if problems:
        raise InputError(problems)
    return Catalog(parts)


def _add(parts: dict[str, dict[str, Part]], text: document.Document) -> list[Problem]:
    """Add a file's entries to `parts`; returns what is wrong with them."""
    problems: list[Problem] = []
    if not isinstance(text.data, dict):
        return [text.problem((), "a catalog file maps kinds to entries", next=f"Kinds: {', '.join(KINDS)}")]
    for kind, entries in text.data.items():
        if kind not in KINDS:
            told = unknown(kind, "kind of part", kind, KINDS)
            problems.append(text.problem((kind,), told.what, told.nearest, told.next))
            continue
        if not isinstance(entries, dict):
            problems.append(text.problem((kind,), "must map names to entries"))
            continue
        for name, entry in entries.items():
            if not isinstance(entry, dict):
                problems.append(text.problem((kind, name), "must be a mapping of fields"))
                continue
            try:
                part = KINDS[kind].model_validate({"name": name, **entry})
                if isinstance(part, General):
                    general(part)
                parts[kind][name] = part
            except ValidationError as error:
                problems += explain(error, KINDS[kind], text, (kind, name))
            except ValueError as error:
                problems.append(text.problem((kind, name), str(error)))
    return problems


def explain(
    error: ValidationError, model: type[BaseModel], text: document.Document, base: document.Path_ = ()
) -> list[Problem]:
    """The problems of a pydantic error, with path, line and nearest name."""
    problems = []
    items = error.errors(include_url=False)
    inner = [i["loc"] for i in items]
    for item in items:
        if item["type"] == "too_short" and any(
            loc[: len(item["loc"])] == item["loc"] and loc != item["loc"] for loc in inner
        ):
            continue  # an item that is itself wrong was not counted
        steps = [s for s in item["loc"] if not (isinstance(s, str) and s.startswith("function-"))]
        path = (*base, *steps)
        kind, what, near, follow = item["type"], item["msg"], "", ""
        if kind == "extra_forbidden":
            told = unknown("", "key", str(steps[-1]), _keys(model, steps[:-1]))
            what, near, follow = told.what, told.nearest, told.next
        elif kind == "missing":
            what = "is missing"
        elif kind == "model_type":
            got = "nothing" if item["input"] is None else type(item["input"]).__name__
            what = f"must be a mapping of keys, got {got}"
        problems.append(
            text.problem(
                path, what[:1].lower() + what[1:] if what[:1].isupper() and what[1:2].islower() else what, near, follow
            )
        )
    return problems


def _keys(model: type[BaseModel], steps: list[str | int]) -> list[str]:
    """The field names of the model at a path inside a model."""
    for step in steps:
        if isinstance(step, int):
            continue
        entry = model.model_fields.get(str(step))
        inner = _model_in(entry.annotation) if entry else None
        if inner is None:
            return []
        model = inner
    named = issubclass(model, Part)  # a part has its name from its key
    return [k for k in model.model_fields if not (named and k == "name") or model.model_fields[k].is_required()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def find_part(catalog: Catalog, name: str) -> Part:
    """The part of a name, whatever its kind; InputError with the nearest name when unknown."""
    for kind in KINDS:
        if kind != "assumptions" and name in catalog.kind(kind):
            return catalog.kind(kind)[name]
    hardware = [n for k in KINDS if k not in ("cities", "gateways", "assumptions") for n in catalog.kind(k)]
    raise InputError(unknown("", "part", name, hardware))


def find_assumptions(catalog: Catalog, path: str) -> list[Assumption]:
    """The assumptions at a path: a general one, all of a part (`ai1`), or one field (`ai1.radiator_area`)."""
    generals = catalog.kind("assumptions")
    if path in generals:
        return [catalog.assume(path)]
    if path in ("", "all"):
        return [catalog.assume(name) for name in generals]
    under = [catalog.assume(name) for name in generals if name.startswith(f"{path}.")]
    if under:
        return under
    kind, _, rest = path.partition(".")
    name, _, wanted = (rest if kind in KINDS and rest else path).partition(".")
    try:
        part = find_part(catalog, name)
    except InputError:
        known = [
            *generals,
            *(n for k in KINDS if k not in ("cities", "gateways", "assumptions") for n in catalog.kind(k)),
        ]
        raise InputError(unknown("", "assumption or part", path, known)) from None
    found = [a for a in part.assumptions() if not wanted or a.name == f"{name}.{wanted.replace('.', '_')}"]
    if not found:
        raise InputError(unknown(name, "assumption", wanted, [a.name.partition(".")[2] for a in part.assumptions()]))
    return found


def as_dict(part: Part) -> dict[str, Any]:
    """A part as plain values; numbers with unit, range and source."""
    told: dict[str, Any] = {}
    for key in type(part).model_fields:
        value = getattr(part, key)
        told[key] = asdict(value) if isinstance(value, Assumption) else value
        if isinstance(value, tuple):
            told[key] = [v.model_dump() if isinstance(v, BaseModel) else v for v in value]
    return told
