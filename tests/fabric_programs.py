"""Programs for a fabric under load: each writes a line of every step to a file outside, and ends in a way that is known before."""

from dataclasses import dataclass

SAY = 'say() { echo "$AETHER_ATTEMPT $RANK $AETHER_SHIP $1 $2 ${EPOCHREALTIME/,/.}" >> "$LINES"; }\n'
SHORT = SAY + 'say begin 0; sleep "$LASTS"; say end 0; exit "$CODE"\n'
COUNTER = (
    SAY
    + """
at=$AETHER_CHECKPOINT/count; i=0; [ -e "$at" ] && i=$(<"$at")
say begin $i
while [ $i -lt "$STEPS" ]; do
  sleep "$LASTS"; i=$((i+1)); say step $i
  echo $i > "$at.tmp" && mv "$at.tmp" "$at"
done
say end $i
"""
)
GANG = (
    SAY
    + """
say begin 0
python3 -S -c '
import os, socket, time
host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if os.environ["RANK"] == "0":
    with socket.create_server((host, port)) as s:
        other = s.accept()[0]
        time.sleep(float(os.environ["LASTS"]))
        other.sendall(b"done")
else:
    until = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection((host, port), 10) as s:
                s.settimeout(None)
                assert s.recv(9) == b"done"
            break
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.05)
' || exit 1
say end 0
"""
)


@dataclass
class Sent:
    """A submission that was acknowledged, and how it must end."""

    jobs: tuple
    kind: str
    steps: int = 0
    ends: tuple = ("succeeded",)
    code: int = 0


def short(rng):
    """A program of a moment; its exit code is its own."""
    code = rng.choice((0, 0, 0, 3))
    ends = ("succeeded",) if code == 0 else ("failed",)
    return task(SHORT, rng, LASTS=f"{rng.uniform(0.1, 2.0):.2f}", CODE=code), Sent((), "short", 0, ends, code)


def array(rng):
    made, expected = short(rng)
    made["orbit"]["array"] = 4
    expected.kind = "array"
    return made, expected


def gang(rng, lasts_s=2.0):
    """Two nodes, of which one waits for the other. A peer's death breaks it, which is its own failure: it may try again."""
    made = task(GANG, rng, LASTS=f"{rng.uniform(0.5, 1.0) * lasts_s:.2f}")
    made |= {"num_nodes": 2}
    made["orbit"]["retries"] = 1000
    return made, Sent((), "gang")


def counter(rng, steps=(10, 40), lasts_s=0.25, spot=False):
    """A checkpointing counter."""
    count = rng.randint(*steps)
    made = task(COUNTER, rng, LASTS=lasts_s, STEPS=count)
    made["orbit"] |= {"checkpoint": "~/kept", "checkpoint_every": "1 s"}
    made["resources"]["use_spot"] = spot
    return made, Sent((), "counter", count)


def cancelled(rng):
    made, _ = counter(rng, (40, 41))
    return made, Sent((), "cancel", 40, ("cancelled", "succeeded"))


def task(run, rng, **envs):
    return {
        "run": run, "envs": {k: str(v) for k, v in envs.items()}, "resources": {"accelerators": {"gb300": rng.choice((4, 8, 16))}},
        "orbit": {"grace": "1 s", "retries": 0, "priority": rng.choice((400, 500, 600))},
    }  # fmt: skip
