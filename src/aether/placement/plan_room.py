"""What jobs ask for and hosts have, as the kernels of planning take them."""

from __future__ import annotations

from typing import NamedTuple

from aether.base.tables import Bools, Floats, Floats32, Ints

FAR = 1e300  # dearer than anything
NONE, MEMORY, LINK = 0, 1, 2  # the limit beside GPUs that prices know of


class Asked(NamedTuple):
    """What jobs ask for."""

    table: Ints  # (J, 9) gpus, members, slots, release, deadline, memory, may split, partial, place
    worth: Floats  # (J,)
    bits: Floats  # (J, 3) to begin and to end at a host, in each slot
    limit: Floats  # (J,)
    allowed: Bools  # (J, H)


class There(NamedTuple):
    """What hosts have; room, left and link are spent. GPUs count in units of what all jobs ask for multiples of."""

    trip: Floats32  # (C, H, T)
    cost: Floats  # (H, T) of a unit and slot
    room: Ints  # (H, T)
    left: Ints  # (H, T) memory
    link: Floats  # (H, T) bits


class Rent(NamedTuple):
    """What free room is worth to jobs that may still come."""

    worth: Floats  # (G, T, R, S) by units of GPUs and of another limit; R = 1 where it has no price
    group: Ints  # (H, T)
    of: int  # the other limit
    unit: float  # of it
    asked: Ints  # (J,) units of it for a member
    host: Floats  # (H,) by which a repair takes hosts for dearer
    slot: Floats  # (T,) and slots
