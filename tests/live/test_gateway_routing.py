"""Which replica answers: what is never allowed, what is best, and what stays together."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.fabric.gateway import feed, routing
from aether.fabric.gateway.routing import Seen

STATES = ["US", "DE", "LU"]
number = st.floats(0.0, 1e4)
often = st.sampled_from([True] * 7 + [False])  # each filter must meet replicas that pass all others
hosts = st.builds(
    feed.HostNow, name=st.sampled_from(["a", "b", "c"]), ship=st.booleans(), country=st.sampled_from(STATES), gpus=st.integers(0, 8),
    gpus_installed=st.just(8), contact=often, up=often, charge_share=st.none() | st.floats(0.0, 1.0),
    eclipse_in_s=st.none() | number, gone_in_s=st.none() | number, energy_usd_j=st.floats(0.0, 1e-6),
    round_trip_s=st.dictionaries(st.sampled_from(["Berlin", "Lagos"]), st.floats(0.0, 1.0)),
)  # fmt: skip
replicas = st.builds(
    feed.Replica, id=st.sampled_from([f"r{i}" for i in range(6)]), host=st.sampled_from(["", "a", "b", "c", "gone"]), url=st.just("http://h"),
    adapters=st.sampled_from([(), ("x",), ("x", "y")]), leaving=often.map(lambda x: not x),
)  # fmt: skip
known = st.builds(Seen, under_way=st.integers(0, 50), service_s=st.floats(0.0, 60.0), ready=often)
states = st.lists(st.sampled_from(STATES), unique=True, max_size=2).map(tuple)


@st.composite
def scenes(draw):
    """What `order` may be given, of every kind."""
    there = draw(st.lists(replicas, unique_by=lambda r: r.id, max_size=6))
    cut, adapter = draw(st.integers(0, 6)), draw(st.sampled_from([None, "x", "y"]))
    tuned = adapter and feed.AdapterFacts(model="m", project="p", deployment="d", upstream=adapter)
    given = {
        "offers": [
            (serves(part, draw(states), draw(st.floats(0.0, 30.0))), tuned) for part in (there[:cut], there[cut:])
        ],
        "hosts": {h.name: h for h in draw(st.lists(hosts, unique_by=lambda h: h.name, max_size=3))},
        "seen": {r.id: draw(known) for r in there if draw(st.booleans())},
    }
    asked = {
        "place": draw(st.sampled_from(["Berlin", "Lagos", ""])), "jurisdictions": draw(states),
        "conversation": draw(st.binary(max_size=80)), "home": draw(st.none() | st.sampled_from([f"r{i}" for i in range(6)])),
        "speed": draw(st.sampled_from([1.0, 60.0])),
    }  # fmt: skip
    return given | asked


def serves(there, jurisdictions=(), usd_mtok=0.0, name="d"):
    return feed.DeploymentFacts(
        name=name, project="", model="m", upstream="m", replicas=tuple(there), jurisdictions=jurisdictions, price_out_usd_mtok=usd_mtok,
    )  # fmt: skip


def ship(name, **more):
    facts = {"ship": True, "country": "US", "gpus": 8, "gpus_installed": 8, "round_trip_s": {"Berlin": 0.03}}
    return feed.HostNow.model_validate({"name": name} | facts | more)


def order(ships, *, seen=None, replicas=None, jurisdictions=(), adapter=None, **more):
    """The order of replicas, one on each ship, all of them ready unless told otherwise."""
    there = replicas or [feed.Replica(id=f"r-{s.name}", host=s.name, url="http://h") for s in ships]
    ready = {r.id: Seen(ready=True, service_s=1.0) for r in there} | (seen or {})
    asked = {"place": "Berlin", "conversation": b"", "home": None, "speed": 1.0}
    tuned = adapter and feed.AdapterFacts(model="m", project="p", deployment="d", upstream=adapter)
    return routing.order(
        [(serves(there), tuned)], {s.name: s for s in ships}, ready, jurisdictions=jurisdictions, **(asked | more)
    )


def best(ships, **more):
    return order(ships, **more)[0][0].replica.id


@given(scenes())
def test_no_filter_is_ever_broken_and_nothing_that_passes_is_left_out(scene):
    chosen, why = routing.order(**scene)
    passes = set()
    for (deployment, adapter), replica in ((o, r) for o in scene["offers"] for r in o[0].replicas):
        law = [set(s) for s in (deployment.jurisdictions, scene["jurisdictions"]) if s]
        host, seen = scene["hosts"].get(replica.host), scene["seen"].get(replica.id)
        reached = host.up and host.contact if host else not replica.host
        lawful = all(host.country in s for s in law) if host else not law
        loaded = adapter is None or adapter.upstream in replica.adapters
        if reached and lawful and loaded and not replica.leaving and seen is not None and seen.ready:
            passes.add(replica.id)
    assert {c.replica.id for c in chosen} == passes
    assert len(chosen) == len(passes)
    assert bool(why) == (not chosen)


@given(scenes(), st.randoms())
def test_the_order_is_the_same_however_the_replicas_are_listed(scene, draw):
    first = routing.order(**scene)
    mixed = []
    for deployment, adapter in scene["offers"]:
        there = list(deployment.replicas)
        draw.shuffle(there)
        mixed.append((serves(there, deployment.jurisdictions, deployment.price_out_usd_mtok), adapter))
    draw.shuffle(mixed)
    again, _ = routing.order(**(scene | {"offers": mixed}))
    assert [c.replica for c in again] == [c.replica for c in first[0]]


@given(scenes())
def test_a_conversation_stays_until_another_is_cheaper_by_more_than_its_cache_is_worth(scene):
    chosen, _ = routing.order(**scene)
    at_home = [c for c in chosen if c.replica.id == scene["home"]]
    stay = [c for c in chosen if "soon gone" not in c.reasons] or chosen
    if at_home and at_home[0] in stay:
        bare_s = at_home[0].cost_s + routing.KEEP_S
        cheaper = [c for c in stay if c is not at_home[0] and bare_s - c.cost_s > routing.KEEP_S - 1e-6]
        if not cheaper:
            assert chosen[0] == at_home[0]
        if any(bare_s - c.cost_s > routing.KEEP_S + 2 * routing.ALIKE_S for c in stay if c is not at_home[0]):
            assert chosen[0] != at_home[0]


@given(scenes())
def test_a_host_that_is_soon_gone_comes_after_all_that_stay(scene):
    gone = ["soon gone" in c.reasons for c in routing.order(**scene)[0]]
    assert gone == sorted(gone)


@given(scenes())
def test_more_load_never_brings_a_replica_forward(scene):
    chosen, _ = routing.order(**scene)
    if chosen:
        name = chosen[-1].replica.id
        seen = scene["seen"][name]
        more = Seen(seen.under_way + 5, seen.service_s, seen.first_s, seen.ready)
        again, _ = routing.order(**(scene | {"seen": scene["seen"] | {name: more}}))
        assert again[-1].replica.id == name


def test_new_conversations_share_replicas_that_are_alike_and_each_keeps_to_its_own():
    ships = [ship("a"), ship("b"), ship("c")]
    drawn = Counter(best(ships, conversation=b"%d" % i) for i in range(300))
    assert len(drawn) == 3
    assert min(drawn.values()) > 60
    assert {best(ships, conversation=b"7") for _ in range(5)} == {best(ships[::-1], conversation=b"7")}


def test_a_replica_that_goes_moves_its_own_conversations_only():
    ships = [ship("a"), ship("b"), ship("c")]
    for i in range(50):
        before = best(ships, conversation=b"%d" % i)
        after = best(ships[:2], conversation=b"%d" % i)
        assert after == before or before == "r-c"


def test_a_busy_replica_gets_no_new_conversation_but_keeps_those_that_it_has():
    ships = [ship("a"), ship("b")]
    busy = {"r-a": Seen(under_way=2, service_s=1.0, ready=True)}
    assert {best(ships, seen=busy, conversation=b"%d" % i) for i in range(20)} == {"r-b"}
    assert best(ships, seen=busy, home="r-a") == "r-a"
    swamped = {"r-a": Seen(under_way=20, service_s=1.0, ready=True)}
    assert best(ships, seen=swamped, home="r-a") == "r-b"


def test_a_replica_of_which_nothing_is_measured_is_not_free_whatever_it_has():
    new = {"r-a": Seen(under_way=9, ready=True)}
    assert best([ship("a"), ship("b")], seen=new) == "r-b"


@pytest.mark.parametrize(
    "worse",
    [
        {"round_trip_s": {"Berlin": 0.2}},
        {"gpus": 2},
        {"charge_share": 0.05},
        {"eclipse_in_s": 10.0},
        {"energy_usd_j": 5e-8},
        {"gone_in_s": 5.0},
    ],
    ids=lambda w: next(iter(w)),
)
def test_of_two_ships_alike_but_for_one_thing_the_better_is_first(worse):
    for i in range(8):
        assert best([ship("a", **worse), ship("b")], conversation=b"%d" % i) == "r-b"


def test_the_time_to_leave_is_of_the_wall_and_a_ship_about_to_leave_still_answers_alone():
    soon = ship("a", gone_in_s=600.0)
    assert best([soon, ship("b", gpus=1)], home="r-a") == "r-a"
    assert best([soon, ship("b", gpus=1)], home="r-a", speed=60.0) == "r-b"
    chosen, why = order([soon], speed=60.0)
    assert "soon gone" in chosen[0].reasons
    assert why == ""


def test_a_server_outside_of_the_fabric_answers_only_where_no_law_is_asked():
    there = [feed.Replica(id="r", host="", url="http://h")]
    chosen, _ = order([], replicas=there)
    assert chosen[0].host is None
    assert chosen[0].modelled_s is None
    assert chosen[0].reasons == ("round trip not modelled",)
    chosen, why = order([], replicas=there, jurisdictions=("DE",))
    assert chosen == []
    assert why == "no replica of d may answer: 1 outside of DE"


def test_a_choice_says_what_it_costs_part_by_part():
    busy = {"r-a": Seen(under_way=4, service_s=2.0, ready=True)}
    chosen, _ = order([ship("a", eclipse_in_s=1.0)], seen=busy)
    assert chosen[0].modelled_s == 0.03
    assert chosen[0].cost_s == pytest.approx(0.03 + 4 * 2.0 / routing.SLOTS + routing.DARK_S)
    assert chosen[0].reasons == ("round trip +0.030 s", "load +1.000 s", "eclipse +0.020 s")


def test_why_there_is_none_counts_every_reason():
    ships = [ship("a", up=False), ship("b", contact=False), ship("c"), ship("d")]
    _, why = order(ships, seen={"r-c": Seen(), "r-d": Seen()})
    assert why == "no replica of d may answer: 2 not ready; 1 on a host out of contact; 1 on a host that is down"
    assert order([])[1] == "no replica of d may answer: it has none"


@pytest.mark.parametrize(
    ("host", "replica", "asked", "words"),
    [
        ({"up": False}, {}, {}, "on a host that is down"),
        ({"contact": False}, {}, {}, "on a host out of contact"),
        ({}, {"leaving": True}, {}, "leaving"),
        ({}, {"host": "z"}, {}, "on a host that is not known"),
        ({}, {"adapters": ("y",)}, {"adapter": "x"}, "without the adapter"),
        ({"country": "US"}, {}, {"jurisdictions": ("DE", "LU")}, "outside of DE, LU"),
        ({}, {}, {"seen": {"r": Seen()}}, "not ready"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_each_filter_alone_bars_a_replica_that_is_best_in_all_else(host, replica, asked, words):
    there = [feed.Replica.model_validate({"id": "r", "host": "a", "url": "http://h"} | replica)]
    chosen, why = order([ship("a", **host)], replicas=there, home="r", **asked)
    assert chosen == []
    assert why == f"no replica of d may answer: 1 {words}"


def test_the_deployments_law_and_the_requests_hold_both():
    there = [(serves([feed.Replica(id="r", host="a", url="http://h")], ("US", "DE")), None)]
    given = {"place": "", "conversation": b"", "home": None, "speed": 1.0}
    hosts, seen = {"a": ship("a", country="US")}, {"r": Seen(ready=True)}
    assert routing.order(there, hosts, seen, jurisdictions=("US",), **given)[0]
    for law, words in ((("DE",), "DE"), (("LU",), "every state that both it and the request allow")):
        assert routing.order(there, hosts, seen, jurisdictions=law, **given) == (
            [],
            f"no replica of d may answer: 1 outside of {words}",
        )


def test_a_home_that_costs_a_hair_more_but_for_its_cache_comes_before_all():
    far = ship("a", round_trip_s={"Berlin": 0.03 + routing.KEEP_S - 1e-4})
    for i in range(8):
        assert best([far, ship("b")], home="r-a", conversation=b"%d" % i) == "r-a"


def test_the_time_to_an_eclipse_is_of_the_wall():
    later = ship("a", eclipse_in_s=600.0)
    assert order([later])[0][0].reasons == ("round trip +0.030 s",)
    assert "eclipse +0.020 s" in order([later], speed=60.0)[0][0].reasons


def dear_and_cheap(dear_usd_mtok, **more):
    """The best of two ships, each with a deployment of its own: `dear` and `cheap`."""
    prices = {"dear": dear_usd_mtok, "cheap": 1.0}
    there = {n: feed.Replica(id=n, host=n, url="http://h") for n in prices}
    offers = [(serves([r], usd_mtok=prices[n], name=n), None) for n, r in there.items()]
    ships = {"dear": ship("dear"), "cheap": ship("cheap", round_trip_s={"Berlin": 0.23})}  # 200 ms further
    given = {"jurisdictions": (), "place": "Berlin", "conversation": b"", "home": None, "speed": 1.0}
    seen = {n: Seen(ready=True, service_s=1.0) for n in prices}
    return routing.order(offers, ships, seen, **(given | more))[0]


def test_of_several_deployments_of_a_model_the_price_is_weighed_with_the_way():
    # a thousand tokens at 2 USD a million more are 0.002 USD, and those are worth 200 ms
    assert [c.offer[0].name for c in dear_and_cheap(2.9)] == ["dear", "cheap"]
    assert [c.offer[0].name for c in dear_and_cheap(3.1)] == ["cheap", "dear"]
    assert "price +0.310 s" in dear_and_cheap(3.1)[1].reasons
    assert dear_and_cheap(3.1, home="dear")[0].offer[0].name == "dear"  # a conversation does not change for a trifle
