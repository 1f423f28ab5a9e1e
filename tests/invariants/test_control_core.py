"""The control core under random orders, repetitions and losses: what must hold whatever happens."""

import copy

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aether.fabric.core import control, events
from aether.fabric.core.state import METERS, OVER, State, dump, load
from aether.fabric.core.state import used_gpus as used
from fabric_play import Play, facts

SHIPS = ["a/0", "a/1", "a/2", "site"]


class Core(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.play = Play([facts(n, ship=n != "site") for n in SHIPS])
        self.ended = {}

    @rule(nodes=st.sampled_from([1, 1, 2, 3]), gpus=st.integers(1, 8), spot=st.booleans(), priority=st.integers(0, 1000), array=st.sampled_from([1, 1, 4]),
          deadline=st.sampled_from([None, None, "10 min"]), retries=st.integers(0, 2), checkpoint=st.booleans(), data=st.data())  # fmt: skip
    def submit(self, nodes, gpus, spot, priority, array, deadline, retries, checkpoint, data):
        known = list(self.play.state.jobs)
        after = (data.draw(st.sampled_from(known)),) if known and data.draw(st.booleans()) else ()
        orbit = {"priority": priority, "array": array, "retries": retries} | (
            {"deadline": deadline} if deadline else {}
        )
        orbit |= {"checkpoint": "ck"} if checkpoint else {}
        self.play.submit(
            after, num_nodes=nodes, resources={"accelerators": {"b200": gpus}, "use_spot": spot}, orbit=orbit
        )

    @rule()
    def place(self):
        self.play.place()

    @rule(name=st.sampled_from(SHIPS))
    def act(self, name):
        self.play.act(name)

    @rule(name=st.sampled_from(SHIPS), code=st.sampled_from([0, 0, 1, -9]))
    def end(self, name, code):
        self.play.end(name, code)

    @rule(name=st.sampled_from(SHIPS))
    def checkpoint(self, name):
        self.play.checkpoint(name)

    @rule(name=st.sampled_from(SHIPS), upto=st.integers(0, 30))
    def hear(self, name, upto):
        self.play.hear(name, upto)  # from the beginning each time: everything is heard again and again

    @rule(name=st.sampled_from(SHIPS), at=st.integers(0, 30))
    def hear_something_out_of_order(self, name, at):
        said = self.play.ships[name].said
        if said:
            self.play.do(said[at % len(said)])

    @rule(name=st.sampled_from(SHIPS))
    def lose(self, name):
        self.play.do(events.RuntimeLost(runtime=name, reason="silent"))

    @rule(name=st.sampled_from(SHIPS))
    def come_back(self, name):
        self.play.do(events.RuntimeBack(runtime=name))

    @rule(name=st.sampled_from(SHIPS))
    def lose_the_disk(self, name):
        ship = self.play.ships[name]
        ship.journal, ship.n = f"{int(ship.journal, 16) + 1:032x}", 0
        ship.said.clear()
        ship.members.clear()
        self.play.join(ship)

    @rule(name=st.sampled_from(SHIPS), gpus=st.integers(0, 8), contact=st.booleans(), up=st.booleans())
    def cross(self, name, gpus, contact, up):
        self.play.do(
            events.Conditions(crossed=(events.Crossed(host=name, gpus=gpus, limit="power", contact=contact, up=up),))
        )

    @rule(name=st.sampled_from(SHIPS), closed=st.booleans(), drain=st.booleans())
    def cordon(self, name, closed, drain):
        self.play.do(events.Cordoned(host=name, closed=closed, drain=drain))

    @precondition(lambda self: self.play.state.jobs)
    @rule(data=st.data())
    def cancel(self, data):
        self.play.do(events.CancelAsked(jobs=(data.draw(st.sampled_from(list(self.play.state.jobs))),)))

    @rule(by_s=st.floats(1.0, 500.0))
    def wait(self, by_s):
        self.play.time_s += by_s
        self.play.do(events.Ticked())

    @invariant()
    def every_job_is_in_one_place(self):
        state = self.play.state
        at = {name for jobs in state.at.values() for name in jobs}
        for job in state.jobs.values():
            assert (job.id in state.waiting) == (job.status == "queued")
            assert (job.id in at) == (job.status in ("preparing", "running", "stopping"))
        for host, jobs in state.at.items():
            assert all(host in state.jobs[n].attempt.hosts for n in jobs)

    @invariant()
    def a_member_is_ordered_at_one_host_and_a_gang_runs_whole_or_not(self):
        state, seen = self.play.state, {}
        for name in SHIPS:
            for order in control.orders(state, name):
                job = order.attempt.rpartition("/")[0]
                assert (job, order.rank) not in seen
                seen[job, order.rank] = order
                assert order.attempt == f"{job}/{state.jobs[job].attempts}"
                if order.phase == "run":
                    assert len(order.peers) == order.nodes
                    assert all(m.phase != "ordered" for m in state.jobs[job].attempt.members)

    @invariant()
    def what_is_over_stays_over(self):
        for job in self.play.state.jobs.values():
            if job.id in self.ended:
                assert job.status == self.ended[job.id]
            elif job.status in OVER:
                self.ended[job.id] = job.status
                assert not job.checkpoints
                assert job.id not in self.play.state.dependants

    @invariant()
    def the_ledger_is_the_sum_of_the_meters(self):
        state = self.play.state
        ledger = [
            sum(row[i] for kinds in state.usage.values() for kind, row in kinds.items() if kind != "ground")
            for i in range(len(METERS))
        ]
        meters = [sum(r.usage[i] for r in state.runtimes.values()) for i in range(len(METERS))]
        assert ledger == meters
        assert [sum(j.usage[i] for j in state.jobs.values()) for i in range(4)] == meters[:4]

    @invariant()
    def a_pass_never_gives_more_than_is_there(self):
        state = copy.deepcopy(self.play.state)
        for event in self.play_pass(state):
            if isinstance(event, events.Placed):
                for host in event.hosts:
                    assert used(state, host) <= state.hosts[host].gpus
                    assert state.hosts[host].up
                    assert state.hosts[host].contact
                    assert not state.hosts[host].cordoned

    def play_pass(self, state):
        from aether.fabric.core import schedule

        made = schedule.plan(state)
        for event in made:
            state, _ = control.step(state, event, self.play.time_s)
        return made

    def teardown(self):
        play = self.play
        replayed = State()
        for time_s, text in play.history:
            replayed, _ = control.step(replayed, events.decode(text), time_s)
        assert replayed == play.state
        assert load(dump(play.state)) == play.state
        play.settle()
        left = [(j.id, j.status) for j in play.state.jobs.values() if j.status not in OVER]
        assert not left, f"never ended: {left}"
        assert all(used(play.state, n) == 0 for n in SHIPS)


Core.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)  # to shrink such a history takes minutes and tells little more
TestCore = Core.TestCase


def test_a_job_that_falls_with_another_whose_deadline_passes_in_the_same_moment_is_not_stopped_once_more():
    play = Play([facts("a/0")])
    first = play.submit(orbit={"deadline": "10 s"})
    second = play.submit((first,), orbit={"deadline": "10 s"})
    play.time_s += 11.0
    play.do(events.Ticked())
    assert [play.state.jobs[n].status for n in (first, second)] == ["failed", "failed"]
    assert play.state.jobs[second].reason == f"needs {first}, which failed"
