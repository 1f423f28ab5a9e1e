"""The event loop of one replica after another: iterations with prompts one by one, runs of plain ones in one jump."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

SERVED, EXPIRED, TOO_LONG, IN_FLIGHT = 0, 1, 2, 3
SLOT_BITS = 12  # of a heap key: at most 4,096 requests in a replica; the rest is the token clock
_SLOTS = (1 << SLOT_BITS) - 1

# where each scalar of a replica that is not in registers stands in its array
HEAD, BACKS, FREE, ORDER, PARTIAL, LEFT, OFFSET, JOINED, TOKENS, BLOCKED, LOST = range(11)
# rows of the slots' tables
REQUEST, SINCE, DONE, STEPS, AGE, FREED, JOIN, BACK, BACK_DONE = range(9)
MEMORY, CONTEXT = 0, 1


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def push(heap: Any, count: int, key: int) -> None:
    """Put a key into a heap of `count` keys."""
    i = count
    while i > 0:
        up = (i - 1) >> 1
        if heap[up] <= key:
            break
        heap[i] = heap[up]
        i = up
    heap[i] = key


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def pop(heap: Any, count: int) -> None:
    """Take the least key out of a heap of `count` keys: the gap sinks to a leaf, the last key rises from there."""
    last, i, down = heap[count - 1], 0, 1
    most = count - 1
    while down < most:
        down += (down + 1 < most) & (heap[down + 1] < heap[down])
        heap[i] = heap[down]
        i = down
        down = 2 * i + 1
    while i > 0:
        up = (i - 1) >> 1
        if heap[up] <= last:
            break
        heap[i] = heap[up]
        i = up
    heap[i] = last


@njit(cache=True, nogil=True, error_model="numpy")
def _preempt(
    n: Any, slots: Any, sizes: Any, heap: Any, growth: float, gain: float, clock: int, count: int, cached: float, used: float
) -> tuple[int, float, float]:  # fmt: skip
    """Throw out who was admitted last: its caches are lost, it goes to the front of the queue with its tokens so far."""
    n[LOST] += 1
    slot = n[PARTIAL]
    gone = 0
    if slot >= 0:
        n[PARTIAL] = -1
    else:
        at = 0
        for k in range(count):
            if slots[AGE, heap[k] & _SLOTS] > slots[AGE, heap[at] & _SLOTS]:
                at = k
        slot = heap[at] & _SLOTS
        gone = clock - slots[SINCE, slot]
        cached -= sizes[CONTEXT, slot] + gain * gone
        count -= 1
        heap[at] = heap[count]
        heap[:count] = np.sort(heap[:count])  # a heap too; this is rare
    slots[BACK, n[BACKS]] = slots[REQUEST, slot]
    slots[BACK_DONE, n[BACKS]] = slots[DONE, slot] + gone
    n[BACKS] += 1
    slots[FREED, n[FREE]] = slot
    n[FREE] += 1
    return count, cached, used - sizes[MEMORY, slot] - growth * gone


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _chunk(n: Any, slots: Any, budget: int) -> float:
    """Give the prompt in hand what is left of the iteration's tokens; returns what its tokens look at, all in all."""
    part = min(n[LEFT], budget)
    seen = part * (n[OFFSET] + 0.5 * part)
    n[OFFSET] += part
    n[LEFT] -= part
    n[TOKENS] += part
    if n[LEFT] == 0:
        slots[JOIN, n[JOINED]] = n[PARTIAL]
        n[JOINED] += 1
        n[PARTIAL] = -1
    return seen


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _admit(n: Any, slots: Any, sizes: Any, end: int, budget: int, room: int, now: float, used: float, seen: float, time_s: Any,
           deadline_s: Any, asked: Any, hit: Any, answer: Any, keep: bool, gain: float, spare: float, cache: float,
           longest: float, begun: Any, finish: Any, status: Any) -> tuple[float, float]:  # fmt: skip
    """Take requests from the queue, first come first, while memory, batch and the iteration's tokens allow."""
    while n[TOKENS] < budget and room > 0:
        done, i = 0, n[HEAD]
        if n[BACKS] > 0:
            i, done = slots[BACK, n[BACKS] - 1], slots[BACK_DONE, n[BACKS] - 1]
        elif i == end or time_s[i] > now:
            break
        more = answer[i] - 1.0
        steps = 1 + int(more if gain == 1.0 else np.ceil(more / gain))  # iterations that give it a token
        whole = asked[i] + np.ceil(gain * (steps - 1))
        if done == 0 and n[BACKS] == 0:
            late = deadline_s.size > 0 and deadline_s[i] < now
            long = whole + spare > cache or asked[i] + answer[i] > longest
            if late or long:
                status[i], finish[i] = (TOO_LONG, time_s[i]) if long else (EXPIRED, deadline_s[i])
                n[HEAD] += 1
                continue
        size = asked[i] + (int(np.ceil(1.0 + gain * (done - 1))) if done > 0 else 0)
        need = (whole if keep else float(size)) + spare
        if used + need > cache:
            n[BLOCKED] = 1
            break
        if n[BACKS] > 0:
            n[BACKS] -= 1
        else:
            begun[i] = now
            n[HEAD] += 1
        used += need
        room -= 1
        n[FREE] -= 1
        slot = slots[FREED, n[FREE]]
        slots[REQUEST, slot], slots[DONE, slot], slots[STEPS, slot], slots[AGE, slot] = i, done, steps, n[ORDER]
        sizes[MEMORY, slot], sizes[CONTEXT, slot] = need, float(size)
        n[ORDER] += 1
        n[OFFSET] = min(hit[i], size - 1) if hit.size else 0
        n[LEFT], n[PARTIAL] = size - n[OFFSET], slot
        seen += _chunk(n, slots, budget - n[TOKENS])
    return used, seen


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _leave(n: Any, slots: Any, sizes: Any, heap: Any, growth: float, gain: float, finish: Any, now: float, clock: int, count: int,
           cached: float, used: float) -> tuple[int, float, float]:  # fmt: skip
    """Let go whose last token has come."""
    while count > 0 and heap[0] >> SLOT_BITS <= clock:
        slot = heap[0] & _SLOTS
        pop(heap, count)
        count -= 1
        gone = clock - slots[SINCE, slot]
        used -= sizes[MEMORY, slot] + growth * gone
        cached -= sizes[CONTEXT, slot] + gain * gone
        finish[slots[REQUEST, slot]] = now
        slots[FREED, n[FREE]] = slot
        n[FREE] += 1
    return count, cached, used


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _join(n: Any, slots: Any, sizes: Any, heap: Any, first: Any, finish: Any, now: float, clock: int, count: int, cached: float,
          used: float) -> tuple[int, float, float]:  # fmt: skip
    """Prompts that were read give a token now, and answer from here on."""
    for k in range(n[JOINED]):
        slot = slots[JOIN, k]
        slots[DONE, slot] += 1
        if slots[DONE, slot] == 1:
            first[slots[REQUEST, slot]] = now
        left = slots[STEPS, slot] - slots[DONE, slot]
        if left == 0:
            finish[slots[REQUEST, slot]] = now
            used -= sizes[MEMORY, slot]
            slots[FREED, n[FREE]] = slot
            n[FREE] += 1
            continue
        slots[SINCE, slot] = clock
        push(heap, count, ((clock + left) << SLOT_BITS) | slot)
        count += 1
        cached += sizes[CONTEXT, slot]
    n[JOINED] = 0
    return count, cached, used


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _until(wait_s: float, each_s: float, more_s: float, most: int) -> int:
    """The fewest iterations that last as long as a wait, at most `most`: each as long as the one before and a bit."""
    m = most
    if each_s * most + more_s * (0.5 * most * (most + 1)) > wait_s:
        half = each_s + 0.5 * more_s
        m = max(1, int(np.ceil(2.0 * wait_s / (half + np.sqrt(half * half + 2.0 * more_s * wait_s)))))
        while m > 1 and each_s * (m - 1) + more_s * (0.5 * (m - 1) * m) >= wait_s:
            m -= 1
        while each_s * m + more_s * (0.5 * m * (m + 1)) < wait_s:
            m += 1
    return min(m, most)


@njit(cache=True, nogil=True, error_model="numpy")
def _replica(n: Any, slots: Any, sizes: Any, heap: Any, end: int, time_s: Any, deadline_s: Any, asked: Any, hit: Any, answer: Any,
             matrix_s: Any, extra_s: Any, context_s: float, prompt_s: float, width: int, gain: float, spare: float, cache: float,
             longest: float, keep: bool, begun: Any, first: Any, finish: Any, status: Any) -> tuple[float, float]:  # fmt: skip
    chunk, most, growth = matrix_s.size - 1, slots.shape[1], 0.0 if keep else gain
    now, cached, used, busy, peak, clock, count = 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0
    while True:
        thrown = n[LOST]
        while used + growth * count > cache:
            count, cached, used = _preempt(n, slots, sizes, heap, growth, gain, clock, count, cached, used)
        thrown = n[LOST] - thrown
        budget, room, seen = chunk - width * count, most - count, 0.0
        n[TOKENS], n[BLOCKED] = 0, 0
        if n[PARTIAL] >= 0:
            room -= 1
            seen = _chunk(n, slots, budget)
        if thrown == 0 and n[PARTIAL] < 0:
            grown = growth * count  # what this iteration itself will take
            used, seen = _admit(n, slots, sizes, end, budget, room, now, used + grown, seen, time_s, deadline_s, asked, hit,
                                answer, keep, gain, spare, cache, longest, begun, finish, status)  # fmt: skip
            used -= grown
        head, tokens = n[HEAD], n[TOKENS]
        m, each_s, more_s = (
            1,
            matrix_s[width * count + tokens] + extra_s[count] + context_s * cached,
            context_s * gain * count,
        )
        if tokens > 0:
            each_s += prompt_s * seen
        elif count > 0 and thrown == 0:
            m = (heap[0] >> SLOT_BITS) - clock
            if used + growth * count * m > cache:
                m = int((cache - used) / (growth * count))
            if n[BLOCKED]:
                if n[BACKS] == 0 and deadline_s.size > 0:
                    m = _until(deadline_s[head] - now, each_s, more_s, m)
            elif room > 0 and head < end:
                m = _until(time_s[head] - now, each_s, more_s, m)
        elif count == 0:
            if head == end and n[BACKS] == 0:
                return busy, peak
            now = max(now, time_s[head]) if n[BACKS] == 0 else now
            continue
        took = each_s * m + more_s * (0.5 * m * (m + 1))
        now, busy, clock = now + took, busy + took, clock + m
        cached, used = cached + gain * count * m, used + growth * count * m
        peak = max(peak, used)
        count, cached, used = _leave(n, slots, sizes, heap, growth, gain, finish, now, clock, count, cached, used)
        count, cached, used = _join(n, slots, sizes, heap, first, finish, now, clock, count, cached, used)
        if count == 0 and n[PARTIAL] < 0:
            cached, used = 0.0, 0.0  # what rounding leaves


@njit(cache=True, nogil=True, error_model="numpy")
def run(start: Any, time_s: Any, deadline_s: Any, asked: Any, hit: Any, answer: Any, matrix_s: Any, extra_s: Any, context_s: float,
        prompt_s: float, width: int, gain: float, spare: float, cache: float, longest: float, keep: bool, begun: Any, first: Any,
        finish: Any, status: Any, busy_s: Any, peak: Any, lost: Any) -> None:  # fmt: skip
    """All replicas one after another: requests start[r] to start[r + 1], in order of time, are those of replica r."""
    most = extra_s.size - 1
    n, slots = np.zeros(11, np.int64), np.zeros((9, most), np.int64)
    sizes, heap = np.zeros((2, most)), np.zeros(most + 1, np.int64)
    for r in range(start.size - 1):
        n[:] = 0
        n[PARTIAL], n[HEAD], n[FREE] = -1, start[r], most
        slots[FREED] = np.arange(most)
        busy_s[r], peak[r] = _replica(
            n, slots, sizes, heap, start[r + 1], time_s, deadline_s, asked, hit, answer, matrix_s, extra_s, context_s,
            prompt_s, width, gain, spare, cache, longest, keep, begun, first, finish, status)  # fmt: skip
        lost[r] = n[LOST]
