"""The desk: who asks, what they may have, and answers from the servers that the fabric has now."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp

from aether.fabric.core.state import Key
from aether.fabric.gateway import routing, told, upstream
from aether.fabric.gateway.asks import Ask, Caller, ModelInfo, Route, Trouble, Whole
from aether.fabric.gateway.feed import AdapterFacts, DeploymentFacts, Feed, HostNow, KeyFacts
from aether.fabric.gateway.limits import Limits
from aether.fabric.gateway.meter import Account, Meter, Whose
from aether.fabric.gateway.routing import Choice, Offer, Seen
from aether.fabric.gateway.told import Told
from aether.fabric.gateway.upstream import Opened, Server, Upstream
from aether.fabric.tenancy import Principal, principal

MOST_UNDER_WAY = 4000  # requests at once: a megabyte of buffers each at worst
MOST_HOMES = 100_000  # conversations whose server is remembered; those not heard for the longest are forgotten
SILENT_S = 4.0  # a server without a first byte for so long is doubted, where nothing is known of its kind
DOUBT = 4.0  # times the usual time to the first byte after which another server is asked too
LEAST_DOUBT_WHOLE_S = 10.0  # for an answer in one piece, most of whose time is its own work: asking another doubles it
LEAST_DOUBT_S = 0.5  # never sooner: a hedge costs a server's time
PATIENCE_S, LOOK_S = (
    3.0,
    0.05,
)  # with a model none of whose servers answers at the moment, as after a failure; between two looks
SOON = ("not ready", "leaving", "out of reach", "without the adapter")  # what may pass by itself
RATE_S = 10.0  # over which requests a second are told
PLACE_S = 60.0  # that a caller's place stays wanted
MOST_PLACES, LONGEST_PLACE = 50, 100  # places at once; characters
LLAMA_COUNT = "/v1/chat/completions/input_tokens"  # where llama.cpp counts; /tokenize of vLLM's form answers it nothing
BYTES_PER_TOKEN = 4.0  # of English text in common tokenisers, for limits before the real count is known


class Desk:
    """Implements `asks.Desk` over the last feed. Servers outlive feeds: what is under way goes on."""

    def __init__(self, up: Upstream, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        self.up, self.meter, self._clock = up, meter, clock
        self.feed: Feed | None = None
        self.leaving = False  # it finishes what it has and takes nothing new
        self.servers: dict[str, Server] = {}
        self.under_way: dict[str, int] = defaultdict(int)  # by model
        self.places: dict[str, float] = {}
        self.counts: dict[tuple[str, str], int] = defaultdict(int)  # requests by model and how they ended
        self.first_s: deque[float] = deque(maxlen=10_000)  # of the last answers, measured
        self._keys: dict[str, Key] = {}
        self._limits: dict[str, tuple[KeyFacts, Limits]] = {}
        self._models: dict[str, list[Offer]] = {}
        self._hosts: dict[str, HostNow] = {}
        self._homes: OrderedDict[bytes, str] = OrderedDict()
        self._asked: dict[str, deque[float]] = defaultdict(deque)
        self._fed_at = 0.0

    # what it goes by

    def now_s(self) -> float:
        """Fabric time, as the last feed has it; 0 before the first."""
        return self.feed.time_s + self.feed.speed * (self._clock() - self._fed_at) if self.feed else 0.0

    def take(self, feed: Feed) -> None:
        """Go by a new feed; lines that it shows as cut are cut."""
        self.feed, self._fed_at = feed, self._clock()
        self._keys = {k.key: Key(k.project, k.digest, k.scopes, k.expires_s, "", 0.0) for k in feed.keys}
        self._limits = {k.key: self._limit(k) for k in feed.keys if k.requests_per_minute or k.tokens_per_minute}
        self._hosts = {h.name: h for h in feed.hosts}
        self._models = defaultdict(list)
        for d in feed.deployments:
            self._models[d.model].append((d, None))
        known = {d.name: d for d in feed.deployments}
        for a in feed.adapters:
            if a.deployment in known:
                self._models[a.model].append((known[a.deployment], a))
        there = {r.id: r for d in feed.deployments for r in d.replicas}
        for name, server in list(self.servers.items()):
            if name not in there or there[name].url != server.url:
                server.cut()
                del self.servers[name]
        for name, replica in there.items():
            host = self._hosts.get(replica.host)
            server = self.servers.setdefault(name, Server(replica.url))
            server.key = replica.key
            if replica.host and (host is None or not (host.contact and host.up)):
                server.cut()

    def _limit(self, key: KeyFacts) -> tuple[KeyFacts, Limits]:
        """A key's limits as they stand; they begin anew only where they were changed."""
        before = self._limits.get(key.key)
        if before is not None and (before[0].requests_per_minute, before[0].tokens_per_minute) == (
            key.requests_per_minute,
            key.tokens_per_minute,
        ):
            return before
        return key, Limits(key.requests_per_minute, key.tokens_per_minute, self._clock)

    def reachable(self) -> list[tuple[str, Server, DeploymentFacts]]:
        """Servers that may be asked whether they are ready, and how."""
        made = []
        for d in self.feed.deployments if self.feed else ():
            for r in d.replicas:
                host = self._hosts.get(r.host)
                if not r.host or (host is not None and host.contact and host.up):
                    made.append((r.id, self.servers[r.id], d))
        return made

    def asked_per_s(self) -> dict[str, float]:
        """Requests a second of each deployment, over the last seconds."""
        now = self._clock()
        made = {}
        for name in [d.name for d in self.feed.deployments] if self.feed else []:
            times = self._asked[name]
            while times and times[0] < now - RATE_S:
                times.popleft()
            made[name] = round(len(times) / RATE_S, 1)
        return made

    def wanted_places(self) -> tuple[str, ...]:
        """Places of callers of late."""
        now = self._clock()
        self.places = {p: at for p, at in self.places.items() if now - at < PLACE_S}
        return tuple(self.places)[:MOST_PLACES]

    # who asks

    def caller(self, secret: str | None) -> Caller:
        """Whose secret it is; Trouble("unauthorised") for nobody's."""
        if self.feed is None:
            raise Trouble("unavailable", "The fabric is not ready yet.", retry_after_s=1.0)
        found = self._principal(secret)
        if not found.may("infer"):
            raise Trouble("forbidden", "This key may not ask models: it needs the scope 'infer' or 'write'.")
        return Caller(found.key, found.project, found.scopes)

    def _principal(self, secret: str | None) -> Principal:
        found = principal(self._keys, secret or "", self.now_s())
        if found is None:
            raise Trouble("unauthorised", "Incorrect API key provided.", code="invalid_api_key")
        return found

    def watcher(self, secret: str | None) -> None:
        """Trouble for those who may not see metrics."""
        if not self._principal(secret).may("watch"):
            raise Trouble("forbidden", "This needs a key with the scope 'watch'.")

    def models(self, caller: Caller) -> list[ModelInfo]:
        """The models that a caller may use."""
        made = []
        for name in self._models:
            if offers := self._offers(caller, name):
                first, prices = offers[0], [(d.price_in_usd_mtok, d.price_out_usd_mtok) for d, _ in offers]
                made.append(
                    ModelInfo(
                        name,
                        int(first[1].created_s if first[1] else min(d.created_s for d, _ in offers)),
                        first[1].project if first[1] else "aether",
                        min((d.context for d, _ in offers if d.context), default=None),
                        (max(p[0] for p in prices), max(p[1] for p in prices)),
                    )
                )
        return made

    def _offers(self, caller: Caller, model: str) -> list[Offer]:
        """What a model's name stands for: a project's own deployments, or every project's."""
        offers = [o for o in self._models.get(model, ()) if self._may(caller, *o)]
        return [o for o in offers if o[0].project] or offers

    @staticmethod
    def _may(caller: Caller, d: DeploymentFacts, a: AdapterFacts | None) -> bool:
        return d.project in ("", caller.home) and (a is None or a.project == caller.home)

    def limits(self, caller: Caller) -> Mapping[str, str]:
        """What is left of the caller's limits."""
        found = self._limits.get(caller.key)
        return found[1].headers() if found else {}

    # answers

    def _resolve(self, ask: Ask) -> list[Offer]:
        """What answers for a request's model; Trouble where nothing of the caller's does."""
        offers = self._offers(ask.caller, ask.model)
        if not offers:
            what = f"The model '{ask.model[:100]}' does not exist or you do not have access to it."
            raise Trouble("missing", what, param="model", code="model_not_found")
        return offers

    async def _choices(self, ask: Ask) -> list[Choice]:
        """Servers in the order in which they are asked; Trouble where none may be, after a little patience with those that soon may."""
        until = self._clock() + PATIENCE_S
        while True:
            offers = self._resolve(ask)
            found, why = self._order(ask, offers)
            if found:
                return found
            if self._clock() >= until or not any(word in why for word in SOON):
                raise Trouble(
                    "unavailable", f"No server of the model can take this request now: {why}.", retry_after_s=1.0
                )
            await asyncio.sleep(LOOK_S)

    def _order(self, ask: Ask, offers: list[Offer]) -> tuple[list[Choice], str]:
        assert self.feed is not None  # `caller` has seen to it
        place = ask.place or self.feed.place
        if (
            ask.place
            and len(ask.place) <= LONGEST_PLACE
            and (ask.place in self.places or len(self.places) < MOST_PLACES)
        ):
            self.places[ask.place] = self._clock()
        seen = {
            n: Seen(s.under_way, s.service_s, s.first_s, s.ready, s.gauges)
            for d, _ in offers
            for r in d.replicas
            if (n := r.id) and (s := self.servers[n])
        }
        return routing.order(
            offers, self._hosts, seen, place=place, jurisdictions=ask.jurisdictions, conversation=ask.conversation,
            home=self._homes.get(ask.conversation), speed=self.feed.speed,
        )  # fmt: skip

    def _body(self, ask: Ask, offer: Offer) -> dict[str, Any]:
        """The request as a server takes it."""
        d, a = offer
        body = ask.body | {"model": a.upstream if a else d.upstream}
        if d.salted:
            body["cache_salt"] = hashlib.sha256(f"{ask.caller.home}\n{self.meter.journal}".encode()).hexdigest()[:32]
        if ask.stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True} | ({"continuous_usage_stats": True} if d.salted else {})
        return body

    def _admit(self, ask: Ask) -> tuple[Limits | None, int]:
        """Count a request, within the caller's limits and the gateway's."""
        if self.leaving or sum(self.under_way.values()) >= MOST_UNDER_WAY:
            raise Trouble("overloaded", "The gateway has no room now.", retry_after_s=1.0)
        limits = self._limits.get(ask.caller.key)
        estimate = 0
        if limits is not None:
            estimate = int(len(str(ask.body)) / BYTES_PER_TOKEN)
            limits[1].take(estimate)
        return (limits[1] if limits else None), estimate

    async def _chosen(self, ask: Ask) -> list[Choice]:
        """As `_choices`; that is asked of the first one's deployment, of all where none may be asked."""
        offers = self._resolve(ask)
        try:
            choices = await self._choices(ask)
            offers = [choices[0].offer]
            return choices
        finally:
            for d, _ in offers:
                self._asked[d.name].append(self._clock())

    def _doubt_s(self, choices: list[Choice], whole: bool) -> float:
        """How long a server may be silent before another is asked too."""
        known = [
            s.service_s if whole else s.first_s for c in choices if (s := self.servers[c.replica.id]).service_s > 0.0
        ]
        least_s = LEAST_DOUBT_WHOLE_S if whole else LEAST_DOUBT_S
        return max(DOUBT * max(known), least_s) if known else max(SILENT_S, least_s)

    def _there(self, choice: Choice) -> Server:
        """The server of a choice; Again where its line was lost since it was chosen."""
        server = self.servers.get(choice.replica.id)
        if server is None or not server.ready:
            raise upstream.Again("the line to it was lost")
        return server

    async def whole(self, ask: Ask) -> Whole:
        """The answer; Trouble where there is none."""
        self._resolve(ask)
        limits, estimate = self._admit(ask)
        begun = self._clock()

        async def begin(choice: Choice) -> dict[str, Any]:
            server = self._there(choice)
            half_s = self._imposed_s(choice) / 2.0
            server.under_way += 1
            try:
                await asyncio.sleep(half_s)
                self._there(choice)
                made = await self.up.whole(server, ask.endpoint, self._body(ask, choice.offer))
                await asyncio.sleep(half_s)
                return made
            finally:
                server.under_way -= 1

        self.under_way[ask.model] += 1
        try:
            choices = await self._chosen(ask)
            made, choice, tries = await upstream.race(choices, begin, self._doubt_s(choices, True), lambda _: None)
        except BaseException as error:
            self._failed(ask, error, limits, estimate)
            raise
        finally:
            self.under_way[ask.model] -= 1
        usage = made.get("usage")
        made["model"] = ask.model
        tokens = told.tokens(usage if isinstance(usage, dict) else {})
        self._settled(ask, choice, self._account(ask, choice), tokens, limits, estimate)
        return Whole(made, self._route(choice, tries, begun))

    async def stream(self, ask: Ask) -> _Flow:
        """The answer in pieces, once its first piece is there; Trouble where there is none."""
        self._resolve(ask)
        limits, estimate = self._admit(ask)
        begun = self._clock()

        async def begin(choice: Choice) -> Opened:
            server = self._there(choice)
            half_s = self._imposed_s(choice) / 2.0
            made: Opened | None = None
            server.under_way += 1
            try:
                await asyncio.sleep(half_s)
                self._there(choice)
                made = await self.up.stream(server, ask.endpoint, self._body(ask, choice.offer))
                await asyncio.sleep(half_s)
            except BaseException:
                if made is not None:
                    made.close()
                server.under_way -= 1
                raise
            return made

        def drop(opened: Opened) -> None:
            opened.server.under_way -= 1
            opened.close()

        self.under_way[ask.model] += 1
        try:
            choices = await self._chosen(ask)
            opened, choice, tries = await upstream.race(choices, begin, self._doubt_s(choices, False), drop)
        except BaseException as error:
            self.under_way[ask.model] -= 1
            self._failed(ask, error, limits, estimate)
            raise

        account = self._account(ask, choice)

        def ended(tokens: tuple[int, int, int], error: bool) -> None:
            self.under_way[ask.model] -= 1
            opened.server.under_way -= 1
            self._settled(ask, choice, account, tokens, limits, estimate, error)

        route = self._route(choice, tries, begun)
        return _Flow(ask, opened, route, self._imposed_s(choice) / 2.0, account, ended)

    def _failed(self, ask: Ask, error: BaseException, limits: Limits | None, estimate: int) -> None:
        """A request ended without an answer: the tokens that it was thought to take are given back."""
        if isinstance(error, Trouble):
            self.counts[ask.model, error.kind] += 1
        if limits is not None:
            limits.settle(estimate, 0)

    def _imposed_s(self, choice: Choice) -> float:
        return (choice.modelled_s or 0.0) if self.feed is not None and self.feed.impose else 0.0

    def _account(self, ask: Ask, choice: Choice) -> Account:
        whose = Whose(ask.caller.key, ask.caller.home, choice.offer[0].name, ask.model, choice.replica.host)
        return self.meter.begin(whose)

    def _settled(
        self, ask: Ask, choice: Choice, account: Account, tokens: tuple[int, int, int], limits: Limits | None, estimate: int, error: bool = False
    ) -> None:  # fmt: skip
        """A request has ended: its tokens go into the meter, its conversation stays with its server."""
        account.end(tokens, error)
        self.counts[ask.model, "broken" if error else "ok"] += 1
        if limits is not None:
            limits.settle(estimate, tokens[0] + tokens[1])
        if ask.conversation:
            self._homes[ask.conversation] = choice.replica.id
            self._homes.move_to_end(ask.conversation)
            while len(self._homes) > MOST_HOMES:
                self._homes.popitem(last=False)

    def _route(self, choice: Choice, tries: int, begun: float) -> Route:
        first_s = self._clock() - begun
        self.first_s.append(first_s)
        d, host = choice.offer[0], choice.host
        return Route(
            deployment=d.name, host=choice.replica.host, ship=bool(host and host.ship), country=host.country if host else "",
            modelled_s=choice.modelled_s, first_s=first_s, tries=tries, price_usd_mtok=(d.price_in_usd_mtok, d.price_out_usd_mtok),
        )  # fmt: skip

    async def count(self, ask: Ask) -> int:
        """Tokens that the request's prompt comes to, by the server's own tokeniser."""
        choices = await self._choices(ask)

        async def begin(choice: Choice) -> dict[str, Any]:
            server = self._there(choice)
            whole = self._body(ask, choice.offer)
            body = {k: v for k, v in whole.items() if k in ("model", "messages", "prompt", "tools")}
            return await self.up.whole(server, LLAMA_COUNT if server.llama_cpp else "/tokenize", body)

        made, _, _ = await upstream.race(choices, begin, SILENT_S, lambda _: None)
        count = made.get("count", made.get("input_tokens"))
        if not isinstance(count, int):
            raise Trouble("invalid", "The model's server counts no tokens.", status=501)
        return count


class _Flow:
    """An answer in pieces; what it yielded is what was delivered."""

    def __init__(
        self, ask: Ask, opened: Opened, route: Route, late_s: float, account: Account, ended: Callable[[tuple[int, int, int], bool], None]
    ) -> None:  # fmt: skip
        self.route = route
        self._ask, self._opened, self._late_s, self._account, self._ended = ask, opened, late_s, account, ended
        choices = ask.body.get("n")
        self._told, self._over = Told(choices if isinstance(choices, int) else 1), False

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        try:
            for piece in self._opened.first:
                if shown := self._shown(piece):
                    yield shown
            left = self._opened.pieces
            async for piece in _delayed(left, self._late_s) if self._late_s else left:
                if shown := self._shown(piece):
                    yield shown
            if last := self._told.last():
                yield last
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            error.__traceback__ = None  # its connection keeps it, and the request with it
            self._opened.close()
            self._end(True)
            raise Trouble("broken", "The model's server was lost in mid-answer.") from None
        await self._opened.finished()
        self._end(False)

    def _shown(self, piece: dict[str, Any]) -> dict[str, Any] | None:
        """A piece as the caller sees it; it is metered before."""
        if "error" in piece:
            raise ValueError("the server told an error")
        piece["model"] = self._ask.model
        shown = self._told.take(piece)
        self._account.delivered(self._told.tokens())
        return shown

    def _end(self, error: bool) -> None:
        if not self._over:
            self._over = True
            self._ended(self._told.tokens(), error)

    async def close(self) -> None:
        """End it; nothing more is delivered."""
        if not self._over:
            self._opened.close()
            self._end(False)


async def _delayed(pieces: AsyncIterator[dict[str, Any]], by_s: float) -> AsyncIterator[dict[str, Any]]:
    """The same pieces as far apart as they come, each so much later."""
    waiting: asyncio.Queue[tuple[float, dict[str, Any] | BaseException | None]] = asyncio.Queue()

    async def fill() -> None:
        try:
            async for piece in pieces:
                waiting.put_nowait((time.monotonic() + by_s, piece))
            waiting.put_nowait((time.monotonic() + by_s, None))
        except Exception as error:
            waiting.put_nowait((time.monotonic(), error))

    filling = asyncio.create_task(fill())
    try:
        while True:
            due, piece = await waiting.get()
            await asyncio.sleep(due - time.monotonic())
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        filling.cancel()
