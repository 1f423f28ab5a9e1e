"""A child that appends to a store and prints what was acknowledged, to be killed: `store_writer.py URL HEAD NAME PATIENCE`."""

import random
import sys
from pathlib import Path

from aether.fabric.store.store import Entry, Receipt, Store


def main(url, head, name, patience_s):
    store = Store(
        url, Path(head), patience_s=float(patience_s), on_trouble=lambda text: print("trouble", text, flush=True)
    )
    rng, count = random.Random(name), 0
    while True:
        batch = [
            Entry(float(i), "tick", "p", f"{name}-{i}", "x" * 300) for i in range(count, count + rng.randint(1, 20))
        ]
        first = store.append(batch, [Receipt("p", f"{name}-{count}", b"asked", "{}", float(count))])
        print("stored", first, batch[0].subject, batch[-1].subject, flush=True)
        count += len(batch)


if __name__ == "__main__":
    main(*sys.argv[1:])
