"""Numbers and names as people read them, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aether.base.units import fmt

STAGES = {  # of the waterfall, and what takes compute there
    "working": "faults", "power": "power", "heat": "heat", "radiation": "radiation", "reach": "network reach",
    "placed": "no work placed", "delivered": "waiting",
}  # fmt: skip
GIVEN_UP = {"full": "no compute left", "far": "no host in reach", "network": "no room on the links"}
TRAFFIC = ("answers", "requests", "synchronisation", "checkpoints", "caches")
AFTER = {
    "working": "faults",
    "reach": "reach",
    "placed": "placement",
    "delivered": "waiting",
}  # of a stage that takes compute, where its own name says less
FAULTS = ("ship", "relay", "link", "gateway", "site", "gpu")
FAULT_WORDS = {"gpu": "GPU"}
_SIZES = ((1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"))
_DAY_S = 86400.0  # definition


def stages(told: Mapping[str, Any]) -> dict[str, str]:
    """Stages that a run has: without work none comes after reach, and faults are left out where they take nothing."""
    rows, end = told["waterfall"], () if told.get("work") else ("placed", "delivered")
    return {
        s: w for s, w in STAGES.items() if s not in end and (s != "working" or rows[s]["lost_gpu_hours"] > 0.0)
    }  # fmt: skip


def moved(row: Mapping[str, Any]) -> list[str]:
    """Kinds of traffic that a run has: caches only where prompts are read apart."""
    return [k for k in TRAFFIC if k != "caches" or row.get("caches_bit")]


def percent(share: float | None, digits: int = 1) -> str:
    """A share in per cent."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def change(share: float | None) -> str:
    """A relative change in per cent, with its sign."""
    return "–" if share is None else "0.00 %" if abs(share) < 5e-5 else f"{100 * share:+.2f} %"


def length(seconds: float) -> str:
    """A stretch of time."""
    unit_s, word = (60.0, "min") if seconds < 3600 else (3600.0, "h") if seconds <= 3 * _DAY_S else (_DAY_S, "days")
    return f"{seconds / unit_s:.4g} {word}"


def ms(seconds: float | None) -> str:
    """A time in milliseconds."""
    return "–" if seconds is None else f"{1e3 * seconds:,.1f} ms"


def many(count: float | None, digits: int = 3) -> str:
    """A count, in M, G, T where it is large: 349 G."""
    if count is None:
        return "–"
    scale, letter = next(((s, w) for s, w in _SIZES if abs(count) >= s), (1.0, ""))
    return f"{fmt(count / scale, '1', digits)}{letter}" if letter else f"{count:,.0f}"


def money(usd: float | None) -> str:
    """An amount of US dollars, three digits."""
    return "–" if usd is None else fmt(usd, "1")


def ranged(row: Mapping[str, float] | None) -> str:
    """A figure with its range: 6.84 (4.14 to 10.3)."""
    return "–" if row is None else f"{money(row['nominal'])} ({money(row['low'])} to {money(row['high'])})"


def largest(terms: Sequence[Mapping[str, Any]], most: int = 3) -> str:
    """The largest terms of a cost with their shares."""
    top = sorted(terms, key=lambda t: -t["share"])[:most]
    return ", ".join(f"{t['asset']} {percent(t['share'], 0)}" for t in top)


def said(value: float | None, unit: str) -> str:
    """A figure of any kind for people; unit "share" is said in per cent, "1" as a count where it is whole, None as none."""
    if value is None:
        return "none"
    if unit == "share":
        return percent(value, 2 if 0.0 < abs(value) < 0.01 or 0.99 < value < 1.0 else 1)
    if unit == "1" and (abs(value) >= 1e6 or value == int(value)):
        return many(value)
    if unit == "bit" and abs(value) >= 1e15:
        return f"{fmt(value / 1e15, '1')} Pbit"
    if unit == "USD" and abs(value) >= 1e9:
        return f"{fmt(value / 1e9, '1')} billion USD"
    return fmt(value, unit)


def sentence(words: str) -> str:
    """Words with a capital at their head."""
    return words[:1].upper() + words[1:]


def span(low: float, high: float, unit: str) -> str:
    """A range of an assumption; the unit once where both ends share it."""
    first, last = fmt(low, unit), fmt(high, unit)
    number, _, word = first.partition(" ")
    return f"{number} to {last}" if word and last.partition(" ")[2] == word else f"{first} to {last}"


def parity(cost: Mapping[str, Any]) -> list[str]:
    """What one assumption alone would have to be for orbit and ground to cost alike, in sentences."""
    rows = cost.get("parity") or []
    said = []
    for row in (r for r in rows if r["value"] is not None):
        inside = "its range" if row["inside"] else "outside its range"
        said.append(
            f"Alone, {row['name']} would have to be {fmt(row['value'], row['unit'])} ({inside}: "
            f"{span(row['low'], row['high'], row['unit'])}) for orbit and ground to cost alike"
        )
    never = [r for r in rows if r["value"] is None]
    if never:
        near = min(never, key=lambda r: abs(r["closest"] - 1.0))
        names = ", ".join(r["name"] for r in never)
        said.append(
            f"None of {names} alone reaches parity; nearest: {near['name']} at {fmt(near['closest_value'], near['unit'])} "
            f"leaves {near['closest']:.2f} x"
        )
    return said


def faults(told: Mapping[str, Any]) -> str:
    """What failed in the run, in a line."""
    here = [(k, told[k]["failed"]) for k in FAULTS if told[k]["failed"]]
    failed = ", ".join(f"{n:,} {FAULT_WORDS.get(k, k)}{'s' if n > 1 else ''}" for k, n in here) or "none"
    worn = told.get("gpus_worn_out_before", 0.0)
    return failed + (f"; {worn:,.0f} GPUs were worn out before" if worn >= 0.5 else "")


def acted(watch: Mapping[str, Any]) -> str:
    """What acting on alarms changed, in words."""
    saved, before = watch["saved"], watch["without"]
    words = [f"{saved['deliverable_gpu_hours']:+,.0f} GPU-hours deliverable"]
    if before["delivered_gpu_hours"] != before["deliverable_gpu_hours"]:
        words.append(f"{saved['delivered_gpu_hours']:+,.0f} delivered")
    words += [
        f"{many(saved[k])} {name}"
        for k, name in (("output_tokens", "tokens answered"), ("training_tokens", "tokens trained"))
        if before[k]
    ]
    return ", ".join([*words, f"{before['ships_lost']:,} ships lost without, {watch['with']['ships_lost']:,} with it"])


def given_up(told: Mapping[str, float]) -> str:
    """Why requests were rejected, in a line."""
    return ", ".join(f"{many(v)} {GIVEN_UP.get(k, k)}" for k, v in told.items() if v >= 0.5) or "none"


def tokens_day(told: Mapping[str, Any]) -> float:
    """Output tokens of all inference in a day."""
    made: float = sum(s["output_tokens"] for s in told["work"]["inference"])
    return made * _DAY_S / float(told["duration_s"])


def trained(rows: Sequence[Mapping[str, Any]]) -> str:
    """Tokens of training that an event took, with their sign; a millionth of what was trained is nothing."""
    lost, done = (sum(row[k] for row in rows) for k in ("tokens_lost", "tokens_without"))
    return extra(0.0 if abs(lost) < 1e-6 * done else -lost) if rows else "–"


def extra(amount: float | None) -> str:
    """A difference of two runs with its sign; what rounding leaves is nothing."""
    if amount is None:
        return "–"
    size = abs(amount)
    if size < 0.005:
        return "0"
    sign = "+" if amount > 0 else "−"
    return sign + (many(size) if size >= 1e6 else f"{size:,.0f}" if size >= 100 else f"{size:,.2f}")


def extra_ms(seconds: float | None) -> str:
    """A difference of two times in milliseconds with its sign."""
    return "–" if seconds is None else "0 ms" if abs(seconds) < 5e-5 else f"{1e3 * seconds:+,.1f} ms".replace("-", "−")
