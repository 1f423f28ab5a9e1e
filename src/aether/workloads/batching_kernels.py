"""The event loop of one replica after another: iterations with prompts one by one, runs of plain ones in one jump."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

SERVED, EXPIRED, TOO_LONG, IN_FLIGHT = 0, 1, 2, 3
SLOT_BITS = 12  # of a heap key: at most 4,096 requests in a replica; the rest is the token clock
_SLOTS = (1 << SLOT_BITS) - 1

# where each scalar of a replica stands in its arrays of state
NOW, CACHED, USED, BUSY, PEAK, PROMPT = 0, 1, 2, 3, 4, 5
CLOCK, COUNT, HEAD, BACKS, FREE, ORDER, PARTIAL, LEFT, OFFSET, JOINED, TOKENS, BLOCKED, LOST = range(13)
# rows of the slots' tables
REQUEST, SINCE, DONE, AGE, FREED, JOIN, BACK, BACK_DONE = range(8)
MEMORY, CONTEXT = 0, 1


@njit(cache=True, nogil=True, inline="always")
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


@njit(cache=True, nogil=True, inline="always")
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
def _preempt(n: Any, x: Any, slots: Any, sizes: Any, heap: Any, growth: float, gain: float) -> None:
    """Throw out who was admitted last: its caches are lost, it goes to the front of the queue with its tokens so far."""
    n[LOST] += 1
    slot = n[PARTIAL]
    done = 0
    if slot >= 0:
        n[PARTIAL] = -1
        x[USED] -= sizes[MEMORY, slot]
        done = slots[DONE, slot]
    else:
        at = 0
        for k in range(n[COUNT]):
            if slots[AGE, heap[k] & _SLOTS] > slots[AGE, heap[at] & _SLOTS]:
                at = k
        slot = heap[at] & _SLOTS
        gone = n[CLOCK] - slots[SINCE, slot]
        done = slots[DONE, slot] + gone
        x[USED] -= sizes[MEMORY, slot] + growth * gone
        x[CACHED] -= sizes[CONTEXT, slot] + gain * gone
        n[COUNT] -= 1
        heap[at] = heap[n[COUNT]]
        heap[: n[COUNT]] = np.sort(heap[: n[COUNT]])  # a heap too; this is rare
    slots[BACK, n[BACKS]] = slots[REQUEST, slot]
    slots[BACK_DONE, n[BACKS]] = done
    n[BACKS] += 1
    slots[FREED, n[FREE]] = slot
    n[FREE] += 1


@njit(cache=True, nogil=True, inline="always")
def _steps(answer: float, gain: float) -> int:
    """Iterations that give tokens: the prompt's last, then one for every `gain` tokens."""
    return 1 + int(np.ceil((answer - 1.0) / gain))


@njit(cache=True, nogil=True, inline="always")
def _admit(n: Any, x: Any, slots: Any, sizes: Any, end: int, budget: int, room: int, time_s: Any, deadline_s: Any, asked: Any,
           hit: Any, answer: Any, keep: bool, growth: float, gain: float, spare: float, cache: float, longest: float,
           begun: Any, finish: Any, status: Any) -> None:  # fmt: skip
    """Take requests from the queue, first come first, while memory, batch and the iteration's tokens allow."""
    while budget > 0 and room > 0:
        done, i = 0, n[HEAD]
        if n[BACKS] > 0:
            i, done = slots[BACK, n[BACKS] - 1], slots[BACK_DONE, n[BACKS] - 1]
        elif i == end or time_s[i] > x[NOW]:
            return
        whole = asked[i] + np.ceil(gain * (_steps(answer[i], gain) - 1))
        if done == 0 and (whole + spare > cache or asked[i] + answer[i] > longest):
            status[i], finish[i] = TOO_LONG, time_s[i]
            n[HEAD] += 1
            continue
        if done == 0 and n[BACKS] == 0 and deadline_s.size and deadline_s[i] < x[NOW]:
            status[i], finish[i] = EXPIRED, deadline_s[i]
            n[HEAD] += 1
            continue
        size = asked[i] + (int(np.ceil(1.0 + gain * (done - 1))) if done > 0 else 0)
        need = (whole if keep else float(size)) + spare
        if x[USED] + growth * n[COUNT] + need > cache:
            n[BLOCKED] = 1
            return
        if n[BACKS] > 0:
            n[BACKS] -= 1
        else:
            begun[i] = x[NOW]
            n[HEAD] += 1
        x[USED] += need
        room -= 1
        n[FREE] -= 1
        slot = slots[FREED, n[FREE]]
        slots[REQUEST, slot], slots[DONE, slot], slots[AGE, slot] = i, done, n[ORDER]
        sizes[MEMORY, slot], sizes[CONTEXT, slot] = need, float(size)
        n[ORDER] += 1
        n[OFFSET] = min(hit[i], size - 1) if hit.size else 0
        n[LEFT], n[PARTIAL] = size - n[OFFSET], slot
        budget = _chunk(n, x, slots, budget)


@njit(cache=True, nogil=True, inline="always")
def _chunk(n: Any, x: Any, slots: Any, budget: int) -> int:
    """Give the prompt in hand what is left of the iteration's tokens; returns what then remains."""
    part = min(n[LEFT], budget)
    x[PROMPT] += part * (n[OFFSET] + 0.5 * part)
    n[OFFSET] += part
    n[LEFT] -= part
    n[TOKENS] += part
    if n[LEFT] == 0:
        slots[JOIN, n[JOINED]] = n[PARTIAL]
        n[JOINED] += 1
        n[PARTIAL] = -1
    return budget - part


@njit(cache=True, nogil=True, inline="always")
def _leave(n: Any, x: Any, slots: Any, sizes: Any, heap: Any, growth: float, gain: float, finish: Any) -> None:
    """Let go whose last token has come."""
    count, clock = n[COUNT], n[CLOCK]
    while count > 0 and heap[0] >> SLOT_BITS <= clock:
        slot = heap[0] & _SLOTS
        pop(heap, count)
        count -= 1
        gone = clock - slots[SINCE, slot]
        x[USED] -= sizes[MEMORY, slot] + growth * gone
        x[CACHED] -= sizes[CONTEXT, slot] + gain * gone
        finish[slots[REQUEST, slot]] = x[NOW]
        slots[FREED, n[FREE]] = slot
        n[FREE] += 1
    n[COUNT] = count


@njit(cache=True, nogil=True, inline="always")
def _join(n: Any, x: Any, slots: Any, sizes: Any, heap: Any, gain: float, answer: Any, first: Any, finish: Any) -> None:
    """Prompts that were read give a token now, and answer from here on."""
    for k in range(n[JOINED]):
        slot = slots[JOIN, k]
        i = slots[REQUEST, slot]
        slots[DONE, slot] += 1
        if slots[DONE, slot] == 1:
            first[i] = x[NOW]
        left = _steps(answer[i], gain) - slots[DONE, slot]
        if left == 0:
            finish[i] = x[NOW]
            x[USED] -= sizes[MEMORY, slot]
            slots[FREED, n[FREE]] = slot
            n[FREE] += 1
            continue
        slots[SINCE, slot] = n[CLOCK]
        push(heap, n[COUNT], ((n[CLOCK] + left) << SLOT_BITS) | slot)
        n[COUNT] += 1
        x[CACHED] += sizes[CONTEXT, slot]
    n[JOINED] = 0


@njit(cache=True, nogil=True, inline="always")
def _until(wait_s: float, each_s: float, more_s: float, most: int) -> int:
    """The fewest iterations that last as long as a wait, at most `most`: each as long as the one before and a bit."""
    if each_s * most + more_s * (0.5 * most * (most + 1)) <= wait_s:
        return most
    half = each_s + 0.5 * more_s
    m = int(np.ceil(2.0 * wait_s / (half + np.sqrt(half * half + 2.0 * more_s * wait_s))))
    m = max(1, m)
    while m > 1 and each_s * (m - 1) + more_s * (0.5 * (m - 1) * m) >= wait_s:
        m -= 1
    while each_s * m + more_s * (0.5 * m * (m + 1)) < wait_s:
        m += 1
    return min(m, most)


@njit(cache=True, nogil=True, inline="always")
def _jump(n: Any, x: Any, heap: Any, wake_s: float, once: bool, each_s: float, context_s: float, growth: float, gain: float, cache: float) -> None:  # fmt: skip
    """Plain iterations until somebody leaves, comes, or memory is full, in closed form."""
    count = n[COUNT]
    m = 1 if once else (heap[0] >> SLOT_BITS) - n[CLOCK]
    if growth > 0.0 and x[USED] + growth * count * m > cache:
        m = int((cache - x[USED]) / (growth * count))
    each_s += context_s * x[CACHED]
    more_s = context_s * gain * count
    if wake_s < np.inf:
        m = _until(wake_s - x[NOW], each_s, more_s, m)
    took = each_s * m + more_s * (0.5 * m * (m + 1))
    x[NOW] += took
    x[BUSY] += took
    x[CACHED] += gain * count * m
    x[USED] += growth * count * m
    n[CLOCK] += m


@njit(cache=True, nogil=True, error_model="numpy")
def _begin(n: Any, x: Any, slots: Any, head: int) -> None:
    n[:] = 0
    x[:] = 0.0
    n[PARTIAL], n[HEAD], n[FREE] = -1, head, slots.shape[1]
    for k in range(slots.shape[1]):
        slots[FREED, k] = k


@njit(cache=True, nogil=True, error_model="numpy")
def _replica(n: Any, x: Any, slots: Any, sizes: Any, heap: Any, end: int, time_s: Any, deadline_s: Any, asked: Any, hit: Any,
             answer: Any, matrix_s: Any, extra_s: Any, context_s: float, prompt_s: float, width: int, gain: float, spare: float,
             cache: float, longest: float, keep: bool, begun: Any, first: Any, finish: Any, status: Any) -> None:  # fmt: skip
    chunk, most = matrix_s.size - 1, slots.shape[1]
    growth = 0.0 if keep else gain
    while True:
        thrown = n[LOST]
        while x[USED] + growth * n[COUNT] > cache and (n[COUNT] > 0 or n[PARTIAL] >= 0):
            _preempt(n, x, slots, sizes, heap, growth, gain)
        thrown = n[LOST] - thrown
        budget, room = chunk - width * n[COUNT], most - n[COUNT]
        x[PROMPT], n[TOKENS], n[BLOCKED] = 0.0, 0, 0
        if n[PARTIAL] >= 0:
            room -= 1
            budget = _chunk(n, x, slots, budget)
        if thrown == 0 and n[PARTIAL] < 0:
            _admit(n, x, slots, sizes, end, budget, room, time_s, deadline_s, asked, hit, answer, keep, growth, gain, spare,
                   cache, longest, begun, finish, status)  # fmt: skip
        head, count = n[HEAD], n[COUNT]
        if n[TOKENS] > 0:
            x[CACHED] += gain * count
            x[USED] += growth * count
            took = matrix_s[width * count + n[TOKENS]] + extra_s[count] + context_s * x[CACHED] + prompt_s * x[PROMPT]
            x[NOW] += took
            x[BUSY] += took
            n[CLOCK] += 1
        elif count > 0:
            wake_s = np.inf
            if n[BLOCKED] and n[BACKS] == 0 and deadline_s.size:
                wake_s = deadline_s[head]
            elif not n[BLOCKED] and room > 0 and head < end:
                wake_s = time_s[head]
            each_s = matrix_s[width * count] + extra_s[count]
            _jump(n, x, heap, max(wake_s, x[NOW]), thrown > 0, each_s, context_s, growth, gain, cache)
        elif thrown == 0:
            if head == end:
                return
            x[NOW] = max(x[NOW], time_s[head])
            continue
        x[PEAK] = max(x[PEAK], x[USED])
        _leave(n, x, slots, sizes, heap, growth, gain, finish)
        _join(n, x, slots, sizes, heap, gain, answer, first, finish)
        if n[COUNT] == 0:
            x[CACHED] = 0.0  # what rounding leaves
            x[USED] = 0.0 if n[PARTIAL] < 0 else x[USED]


@njit(cache=True, nogil=True, error_model="numpy")
def run(start: Any, time_s: Any, deadline_s: Any, asked: Any, hit: Any, answer: Any, matrix_s: Any, extra_s: Any, context_s: float,
        prompt_s: float, width: int, gain: float, spare: float, cache: float, longest: float, keep: bool, begun: Any, first: Any,
        finish: Any, status: Any, busy_s: Any, peak: Any, lost: Any) -> None:  # fmt: skip
    """All replicas one after another: requests start[r] to start[r + 1], in order of time, are those of replica r."""
    most = extra_s.size - 1
    n, x = np.zeros(13, np.int64), np.zeros(6)
    slots, sizes, heap = np.zeros((8, most), np.int64), np.zeros((2, most)), np.zeros(most + 1, np.int64)
    for r in range(start.size - 1):
        _begin(n, x, slots, start[r])
        _replica(n, x, slots, sizes, heap, start[r + 1], time_s, deadline_s, asked, hit, answer, matrix_s, extra_s, context_s,
                 prompt_s, width, gain, spare, cache, longest, keep, begun, first, finish, status)  # fmt: skip
        busy_s[r], peak[r], lost[r] = x[BUSY], x[PEAK], n[LOST]
