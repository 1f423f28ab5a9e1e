"""The desk before real servers that fail in every way: retries, hedges, cuts, and tokens that are metered as they were delivered."""

import asyncio
import contextlib

import pytest

pytest.importorskip("aiohttp", reason="the live fabric is not installed: pip install 'aether-fabric[live]'")

from aether.fabric.gateway.asks import Ask, Trouble
from aether.fabric.gateway.desk import Desk
from aether.fabric.gateway.feed import AdapterFacts, KeyFacts
from aether.fabric.gateway.meter import Meter
from aether.fabric.gateway.upstream import Upstream
from aether.fabric.tenancy import new_key
from gateway_play import kept
from upstream_play import PlayedServer, fed

TEXT = "one two three four"


class Stand:
    """A desk with servers that all answer their probes."""

    def __init__(self, folder, count):
        self.folder, self.servers = folder, [PlayedServer() for _ in range(count)]
        self.stack = contextlib.AsyncExitStack()

    async def __aenter__(self):
        for server in self.servers:
            await self.stack.enter_async_context(server)
        self.up = Upstream()
        self.stack.push_async_callback(self.up.close)
        self.meter = Meter(self.folder / "journal.db", lambda: 1e9)
        self.stack.callback(self.meter.close)
        self.desk = Desk(self.up, self.meter)
        self.feed, self.secret = fed(*self.servers)
        self.take()
        return self

    async def __aexit__(self, *_):
        await self.stack.aclose()

    def take(self, **changed):
        self.feed = self.feed.model_copy(update=changed)
        self.desk.take(self.feed)
        for server in self.desk.servers.values():
            server.ready = True

    def ask(self, stream=False, **more):
        given = {"endpoint": "/v1/chat/completions", "body": {"model": "small", "messages": [{"role": "user", "content": "hi"}]}, "model": "small",
                 "stream": stream, "caller": self.desk.caller(self.secret), "request_id": "r"}  # fmt: skip
        return Ask(**given | more)

    async def text(self, **more):
        """A stream's text, and the trouble that ended it."""
        flow = await self.desk.stream(self.ask(True, **more))
        made = []
        try:
            async for piece in flow:
                made += [c["delta"].get("content", "") for c in piece["choices"]]
        except Trouble as trouble:
            return "".join(made), trouble.kind
        return "".join(made), ""

    def metered(self):
        self.meter.flush()
        rows = self.meter.unsent()
        return {
            n: sum(getattr(r, n) for r in rows)
            for n in ("requests", "errors", "input_tokens", "output_tokens", "cached_tokens")
        }

    def only(self, mode, index=0):
        """All servers in a mode but one."""
        for i, server in enumerate(self.servers):
            server.mode = mode if i == index else "well"


def played(count=2):
    """A test of a stand, on a loop of its own."""

    def outer(test):
        def inner(tmp_path):
            async def whole():
                async with Stand(tmp_path, count) as stand:
                    await test(stand)

            asyncio.run(whole())

        inner.__name__, inner.__doc__ = test.__name__, test.__doc__
        return inner

    return outer


@played(1)
async def test_an_answer_bears_the_callers_name_of_the_model_and_is_metered(stand):
    made = await stand.desk.whole(stand.ask(place="Nairobi"))
    assert made.body["model"] == "small"
    assert stand.servers[0].asked[0]["model"] == "real-small"
    assert (made.route.host, made.route.country, made.route.modelled_s, made.route.tries) == ("a/0", "US", 0.05, 1)
    assert stand.metered() == {"requests": 1, "errors": 0, "input_tokens": 11, "output_tokens": 4, "cached_tokens": 3}


@played(1)
async def test_a_stream_tells_usage_once_at_its_end_whatever_the_server_tells(stand):
    flow = await stand.desk.stream(stand.ask(True))
    pieces = [p async for p in flow]
    assert [bool(p.get("usage")) for p in pieces] == [False] * 4 + [True]
    assert stand.metered()["output_tokens"] == 4


@pytest.mark.parametrize("mode", ["fault", "full"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_server_that_fails_before_its_first_token_is_followed_by_another(tmp_path, mode, stream):
    async def whole():
        async with Stand(tmp_path, 3) as stand:
            first = (await stand.desk.whole(stand.ask(conversation=b"c"))).route.host
            stand.only(mode, int(first[2:]))
            if stream:
                assert await stand.text(conversation=b"c") == (TEXT, "")
            else:
                made = await stand.desk.whole(stand.ask(conversation=b"c"))
                assert (made.route.tries, made.route.host != first) == (2, True)
            assert stand.metered()["requests"] == 2

    asyncio.run(whole())


@played(2)
async def test_a_server_that_is_gone_is_followed_by_another_and_not_asked_until_its_probe_says_so(stand):
    await stand.servers[0].runner.cleanup()
    assert (await stand.desk.whole(stand.ask())).route.host == "a/1"
    for _ in range(5):
        assert (await stand.desk.whole(stand.ask())).route.host == "a/1"
    assert len(stand.servers[1].asked) == 6


@played(2)
async def test_a_silent_server_is_hedged_by_another_and_told_that_nobody_waits(stand):
    first = int((await stand.desk.whole(stand.ask(conversation=b"c"))).route.host[2:])
    stand.only("silent", first)
    assert await stand.text(conversation=b"c") == (TEXT, "")
    for _ in range(100):
        await asyncio.sleep(0.02)
        if stand.servers[first].gone:
            break
    assert stand.servers[first].gone == 1
    assert stand.metered()["requests"] == 2
    assert all(s.under_way == 0 for s in stand.desk.servers.values())


@played(2)
async def test_a_request_that_is_wrong_is_told_in_the_servers_words_and_tried_nowhere_else(stand):
    for server in stand.servers:
        server.mode = "wrong"
    with pytest.raises(Trouble, match="no such parameter") as told:
        await stand.desk.whole(stand.ask())
    assert (told.value.kind, told.value.status, told.value.param) == ("refused", 400, "top_z")
    assert sum(len(s.asked) for s in stand.servers) == 1


@played(2)
async def test_servers_without_room_are_told_as_overload_with_when_to_come_again(stand):
    for server in stand.servers:
        server.mode = "full"
    with pytest.raises(Trouble) as told:
        await stand.desk.whole(stand.ask())
    assert (told.value.kind, told.value.retry_after_s) == ("overloaded", 7.0)


@played(1)
async def test_a_stream_whose_server_dies_ends_broken_and_what_was_delivered_is_metered(stand):
    stand.only("dies")
    assert await stand.text() == ("one two ", "broken")
    assert stand.metered() == {"requests": 1, "errors": 1, "input_tokens": 11, "output_tokens": 2, "cached_tokens": 3}


@played(1)
async def test_a_link_that_is_cut_cuts_what_flows_over_it(stand):
    stand.only("waits")
    flow = await stand.desk.stream(stand.ask(True))
    pieces = flow.__aiter__()
    got = [await anext(pieces), await anext(pieces)]
    stand.desk.take(
        stand.feed.model_copy(
            update={"hosts": tuple(h.model_copy(update={"contact": False}) for h in stand.feed.hosts)}
        )
    )
    with pytest.raises(Trouble) as told:
        await anext(pieces)
    assert (told.value.kind, len(got)) == ("broken", 2)
    assert stand.metered()["output_tokens"] == 2
    with pytest.raises(Trouble) as told:
        await stand.desk.whole(stand.ask())
    assert told.value.kind == "unavailable"


@played(2)
async def test_a_link_that_is_cut_before_the_first_token_moves_the_request(stand):
    first = int((await stand.desk.whole(stand.ask(conversation=b"c"))).route.host[2:])
    stand.only("silent", first)
    stand.servers[first].started.clear()
    asking = asyncio.create_task(stand.desk.whole(stand.ask(conversation=b"c")))
    await stand.servers[first].started.wait()
    hosts = tuple(h.model_copy(update={"contact": h.name != f"a/{first}"}) for h in stand.feed.hosts)
    stand.desk.take(stand.feed.model_copy(update={"hosts": hosts}))
    made = await asking
    assert made.route.host != f"a/{first}"


@played(1)
async def test_a_client_that_hangs_up_ends_the_servers_work_and_pays_for_what_it_got(stand):
    stand.only("waits")
    flow = await stand.desk.stream(stand.ask(True))
    pieces = flow.__aiter__()
    await anext(pieces)
    await flow.close()
    await pieces.aclose()
    for _ in range(100):
        await asyncio.sleep(0.02)
        if stand.servers[0].gone:
            break
    assert stand.servers[0].gone == 1
    assert stand.metered() == {"requests": 1, "errors": 0, "input_tokens": 11, "output_tokens": 1, "cached_tokens": 3}


@played(1)
async def test_a_caller_who_leaves_before_the_answer_leaves_nothing_behind(stand):
    stand.only("silent")
    asking = asyncio.create_task(stand.desk.whole(stand.ask()))
    await stand.servers[0].started.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0.05)
    assert not any(stand.desk.under_way.values())
    assert all(s.under_way == 0 for s in stand.desk.servers.values())
    assert stand.metered()["requests"] == 0


@played(1)
async def test_imposed_latency_is_felt_and_named_by_its_model(stand):
    stand.take(
        impose=True, hosts=tuple(h.model_copy(update={"round_trip_s": {"Nairobi": 0.3}}) for h in stand.feed.hosts)
    )
    made = await stand.desk.whole(stand.ask(place="Nairobi"))
    assert made.route.modelled_s == 0.3
    assert made.route.first_s >= 0.3
    assert await stand.text(place="Nairobi") == (TEXT, "")


@played(1)
async def test_tuned_models_are_their_projects_alone_and_wait_for_a_server_that_has_them(stand):
    mine = AdapterFacts(model="ft:small:acme::1", project="acme", deployment="m", upstream="ftjob-1")
    theirs = AdapterFacts(model="ft:small:other::2", project="other", deployment="m", upstream="ftjob-2")
    stand.take(adapters=(mine, theirs))
    names = [m.name for m in stand.desk.models(stand.desk.caller(stand.secret))]
    assert names == ["small", "ft:small:acme::1"]
    answers = []
    for name in ("ft:small:other::2", "ft:small:never::2"):
        with pytest.raises(Trouble) as told:
            await stand.desk.whole(stand.ask(model=name))
        answers.append((told.value.kind, told.value.message.replace(name, "NAME"), told.value.code))
    assert answers[0] == answers[1]
    with pytest.raises(Trouble) as told:
        await stand.desk.whole(stand.ask(model=mine.model))
    assert told.value.kind == "unavailable"
    (d,) = stand.feed.deployments
    stand.take(
        deployments=(
            d.model_copy(
                update={"replicas": tuple(r.model_copy(update={"adapters": ("ftjob-1",)}) for r in d.replicas)}
            ),
        )
    )
    made = await stand.desk.whole(stand.ask(model=mine.model))
    assert made.body["model"] == mine.model
    assert stand.servers[0].asked[-1]["model"] == "ftjob-1"


@played(1)
async def test_projects_have_salts_of_their_own_for_cached_prompts(stand):
    name, secret, digest = new_key()
    stand.take(keys=(*stand.feed.keys, KeyFacts(key=name, digest=digest, project="other", scopes=("write",))))
    await stand.desk.whole(stand.ask())
    await stand.desk.whole(stand.ask(caller=stand.desk.caller(secret)))
    await stand.desk.whole(stand.ask())
    salts = [a["cache_salt"] for a in stand.servers[0].asked]
    assert (salts[0] == salts[2], salts[0] != salts[1]) == (True, True)


@pytest.mark.parametrize(
    ("scopes", "expires_s", "kind"),
    [(("read",), None, "forbidden"), (("watch",), None, "forbidden"), (("infer",), 1.0, "unauthorised")],
)
def test_keys_that_may_not_ask_are_refused(tmp_path, scopes, expires_s, kind):
    async def whole():
        async with Stand(tmp_path, 1) as stand:
            name, secret, digest = new_key()
            stand.take(keys=(KeyFacts(key=name, digest=digest, project="p", scopes=scopes, expires_s=expires_s),))
            with pytest.raises(Trouble) as told:
                stand.desk.caller(secret)
            assert told.value.kind == kind
            with pytest.raises(Trouble) as told:
                stand.desk.caller(stand.secret)
            assert told.value.kind == "unauthorised"

    asyncio.run(whole())


@played(1)
async def test_tokens_are_counted_by_the_server(stand):
    assert await stand.desk.count(stand.ask()) > 10


def test_what_was_metered_is_there_after_a_kill_and_goes_once(tmp_path):
    from aether.fabric.gateway.meter import Whose

    meter = Meter(tmp_path / "j.db", lambda: 5.0)
    whose = Whose("k", "p", "d", "m", "h")
    meter.begin(whose).end((1, 2, 0))
    meter.begin(whose).end((1, 2, 0), error=True)
    assert meter.flush()
    again = Meter(tmp_path / "j.db", lambda: 6.0)  # as after a kill: nobody closed the first
    (tally,) = again.unsent()
    assert (again.journal, tally.requests, tally.errors, tally.output_tokens) == (meter.journal, 2, 1, 4)
    again.acknowledge(tally.n)
    assert again.unsent() == ()
    again.begin(whose).end((1, 2, 0))
    again.flush()
    assert again.unsent()[0].n == tally.n + 1
    meter.close()
    again.close()


def two(stand, *prices):
    """Deployments of the one model `small`, each with one server, a price and a name of its own for the model."""
    (d,) = stand.feed.deployments
    made = [
        d.model_copy(update={"name": f"m{i}", "upstream": f"real-{i}", "replicas": (d.replicas[i],), "price_out_usd_mtok": p})
        for i, p in enumerate(prices)
    ]  # fmt: skip
    stand.take(
        deployments=tuple(made), hosts=tuple(h.model_copy(update={"round_trip_s": {}}) for h in stand.feed.hosts)
    )


@played(2)
async def test_of_two_deployments_of_a_model_the_cheaper_answers_and_the_other_while_it_cannot(stand):
    two(stand, 9.0, 3.0)
    (model,) = stand.desk.models(stand.desk.caller(stand.secret))
    assert (model.name, model.price_usd_mtok) == ("small", (1.0, 9.0))  # what it costs at most
    made = await stand.desk.whole(stand.ask())
    assert (made.route.deployment, made.route.price_usd_mtok) == ("m1", (1.0, 3.0))
    assert stand.desk.asked_per_s() == {"m0": 0.0, "m1": 0.1}
    stand.only("fault", 1)
    made = await stand.desk.whole(stand.ask())
    assert (made.route.deployment, made.route.price_usd_mtok, made.route.tries) == ("m0", (1.0, 9.0), 2)
    assert await stand.text() == (TEXT, "")
    assert [s.asked[0]["model"] for s in stand.servers] == ["real-0", "real-1"]
    stand.meter.flush()
    rows = [(t.deployment, t.model, t.host) for t in stand.meter.unsent()]
    assert sorted(rows) == [("m0", "small", "a/0"), ("m1", "small", "a/1")]  # each billed by its own price


@played(2)
async def test_a_projects_own_deployment_is_never_mixed_with_every_projects(stand):
    two(stand, 9.0, 3.0)
    dear, cheap = stand.feed.deployments
    stand.take(deployments=(dear.model_copy(update={"project": "acme"}), cheap))
    for _ in range(3):
        assert (await stand.desk.whole(stand.ask())).route.deployment == "m0"
    stand.take(deployments=(dear.model_copy(update={"project": "other"}), cheap))
    for _ in range(3):
        assert (await stand.desk.whole(stand.ask())).route.deployment == "m1"


@played(2)
async def test_each_deployments_law_holds_for_its_own_servers(stand):
    two(stand, 9.0, 3.0)
    dear, cheap = stand.feed.deployments
    stand.take(
        deployments=(dear, cheap.model_copy(update={"jurisdictions": ("DE",)}))
    )  # both ships are the United States'
    assert (await stand.desk.whole(stand.ask())).route.deployment == "m0"


@played(1)
async def test_a_tuned_model_whose_server_has_begun_anew_is_waited_for(stand):
    mine = AdapterFacts(model="ft:small:acme::1", project="acme", deployment="m", upstream="ftjob-1")
    stand.take(adapters=(mine,))
    asking = asyncio.create_task(stand.desk.whole(stand.ask(model=mine.model)))
    await asyncio.sleep(0.2)
    assert not asking.done()
    (d,) = stand.feed.deployments
    there = tuple(r.model_copy(update={"adapters": ("ftjob-1",)}) for r in d.replicas)
    stand.take(deployments=(d.model_copy(update={"replicas": there}),))
    assert (await asking).route.host == "a/0"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["well", "wrong", "full", "fault", "dies"])
def test_a_request_is_let_go_once_it_is_answered_whatever_the_answer(tmp_path, mode, stream):
    long = 1_000_000

    async def asked(stand, text):
        for server in stand.servers:
            server.asked.clear()
        body = {"model": "small", "messages": [{"role": "user", "content": text}]}
        with contextlib.suppress(Trouble):
            if stream:
                async for _ in await stand.desk.stream(stand.ask(True, body=body)):
                    pass
            else:
                await stand.desk.whole(stand.ask(body=body))

    async def whole():
        async with Stand(tmp_path, 2) as stand:
            for server in stand.servers:
                server.mode = mode
            await asked(stand, "first")
            with kept() as bytes_:
                for n in range(12):
                    await asked(stand, f"{n}" + "x" * long)
                for server in stand.servers:
                    server.asked.clear()
                await asyncio.sleep(0.05)
        assert bytes_[0] < 6 * long  # of twelve; the last one's may be on its way out of the sockets

    asyncio.run(whole())
