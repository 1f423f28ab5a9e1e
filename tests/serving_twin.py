"""A replica in plain Python, iteration by iteration and token by token: the oracle of the event core."""

import math


class Request:
    def __init__(self, number, time_s, asked, answer, hit=0, patience_s=math.inf):
        self.number, self.time_s, self.asked, self.answer, self.hit = number, time_s, asked, answer, hit
        self.deadline_s = time_s + patience_s
        self.begun_s = self.first_s = self.finish_s = math.nan
        self.status, self.given, self.read, self.context = "", 0, 0, 0

    def todo(self):
        """Tokens to read before the next one comes: the prompt, and after a preemption what was written too."""
        return self.asked + self.given


def replica(made, requests, preempt=True):
    """Run requests to their end; returns times preempted, busy seconds and most tokens in memory."""
    cache, chunk, batch = made.cache_tokens, len(made.matrix_s) - 1, len(made.extra_s) - 1
    waiting, coming, running = [], list(requests), []
    now = busy = most = 0.0
    thrown = 0

    def size(one, more=0):
        if not preempt:
            return one.asked + one.answer - 1 + made.spare_tokens
        return (
            max(one.context, one.todo() if one.read < one.todo() and not one.context else 0) + more + made.spare_tokens
        )

    while coming or waiting or running:
        while coming and coming[0].time_s <= now:
            waiting.append(coming.pop(0))
        writing = [r for r in running if r.context]
        lost = False
        while preempt and sum(size(r, 1 if r.context else 0) for r in running) > cache:
            last = running.pop()
            last.read = last.context = 0
            waiting.insert(0, last)
            thrown, lost = thrown + 1, True
            writing = [r for r in running if r.context]
        budget, shares = chunk - len(writing), []
        for one in running:
            if not one.context:
                part = min(one.todo() - one.read, budget)
                shares.append((one, part))
                budget -= part
        partial = any(one.read + part < one.todo() for one, part in shares)
        while not lost and not partial and waiting and budget > 0 and len(running) < batch:
            one = waiting[0]
            if not one.given and math.isnan(one.begun_s):
                if (
                    one.asked + one.answer - 1 + made.spare_tokens > cache
                    or one.asked + one.answer > made.context_tokens
                ):
                    waiting.pop(0).status = "too long"
                    continue
                if one.deadline_s < now:
                    waiting.pop(0).status = "expired"
                    continue
            if sum(size(r, 1 if r.context and preempt else 0) for r in running) + size(one) > cache:
                break
            waiting.pop(0)
            running.append(one)
            one.begun_s = now if math.isnan(one.begun_s) else one.begun_s
            one.read = min(one.hit, one.todo() - 1)
            part = min(one.todo() - one.read, budget)
            shares.append((one, part))
            budget -= part
            partial = one.read + part < one.todo()
        if not writing and not shares:
            if waiting:
                continue
            if not coming:
                break
            now = max(now, coming[0].time_s)
            continue
        for one in writing:
            one.context += 1
        tokens = len(writing) + sum(part for _, part in shares)
        took = made.matrix_s[tokens] + made.extra_s[len(writing)] + made.context_s * sum(r.context for r in writing)
        took += made.prompt_s * sum(part * (one.read + part / 2) for one, part in shares)
        now, busy = now + took, busy + took
        most = max(most, sum(size(r) for r in running))
        for one, part in shares:
            one.read += part
        for one in writing + [one for one, _ in shares if one.read == one.todo()]:
            if not one.context:
                one.context = one.todo()
            one.given += 1
            if one.given == 1:
                one.first_s = now
            if one.given == one.answer:
                one.finish_s, one.status = now, "served"
                running.remove(one)
    return thrown, busy, most
