"""Reads what Stoker keeps warm, and answers for it over HTTP. Copy this file into your API.

    reader = Reader(RedisBackend.from_url(REDIS_URL), doorbell=Doorbell(STOKER_URL, STOKER_TOKEN))
    product = Job("product", "product:{id}", freshness=300, load=load_product)
    return await reader.respond(request, product, id=42)

A read has one of four outcomes: the value was in Redis (hit); it was not, and was loaded (cold); it was not, and
there is no row (absent); or Redis, or on a miss all who could load it, did not answer (down). Nothing here writes a
key: a reader cannot know whether a newer value was written since its query began. Only Stoker can.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

import httpx
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

log = logging.getLogger("stoker.reader")
T = TypeVar("T")


class Outcome(str, Enum):
    HIT = "hit"
    COLD = "cold"
    ABSENT = "absent"
    DOWN = "down"


class Source(str, Enum):
    """Where the bytes of an answer come from."""

    REDIS = "redis"
    DOORBELL = "doorbell"  # Stoker has loaded the key because it was rung for
    LOAD = "load"  # the application's own query
    STALE = "stale"  # a copy of an earlier answer, while nobody can be asked
    NOTHING = "nothing"


@dataclass(frozen=True)
class Answer:
    outcome: Outcome
    source: Source
    body: bytes | None = None


Load = Callable[[Mapping[str, Any]], Awaitable["bytes | str | None"]]


@dataclass(frozen=True)
class Job:
    """A job of stoker.yaml, as far as a reader must know it."""

    name: str
    key: str  # its key template
    # For how many seconds a client may keep the answer: the job's schedule, or its objective. 0: it must ask again
    # each time, which an ETag makes cheap. Never the TTL in Redis: that is how long an old value is better than none.
    freshness: float = 0
    load: Load | None = None  # the job's query for one key; None: only Stoker loads
    media_type: str = "application/json"

    def key_of(self, values: Mapping[str, Any]) -> str:
        """The key in Redis; values are as Postgres prints them."""

        def part(match: re.Match[str]) -> str:
            return match[0][0] if match[0] in ("{{", "}}") else _text(values[match[1]])

        return re.sub(r"\{\{|\}\}|\{([^{}]+)\}", part, self.key)


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        raise TypeError(f"a key column is {value!r}: give it as text, as Postgres prints it")
    return str(value)


def etag(body: bytes) -> str:
    """A strong ETag: equal bytes have the same in every process and every language."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


_TAG = re.compile(r'(?:W/)?("[^"]*")')


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether an If-None-Match names the tag. It compares weakly, as RFC 9110 says: a proxy may have added W/."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in _TAG.findall(if_none_match)


class Backend(Protocol):
    """Where values are read. There is no way to write."""

    async def get(self, key: str) -> bytes | str | None: ...
    async def close(self) -> None: ...


class MemoryBackend:
    """Values of a dict, for tests and for development without a Redis."""

    def __init__(self, values: Mapping[str, bytes | str] | None = None) -> None:
        self.values = dict(values or {})

    async def get(self, key: str) -> bytes | str | None:
        return self.values.get(key)

    async def close(self) -> None: ...


class RedisBackend:
    """Values in Redis. A client with decode_responses will do, too. Who has made the client closes it."""

    def __init__(self, client: Redis, pool: BlockingConnectionPool | None = None) -> None:
        self._client, self._pool = client, pool

    @classmethod
    def from_url(
        cls, url: str, *, connections: int = 50, pool_wait: float = 0.5, timeout: float = 0.5, **options: Any
    ) -> RedisBackend:
        """When all connections are busy a request waits pool_wait seconds for one. timeout is for connecting and for
        an answer: a Redis that hangs must cost less than the query that it saves."""
        options = {"socket_timeout": timeout, "socket_connect_timeout": timeout, **options}
        pool = BlockingConnectionPool.from_url(url, max_connections=connections, timeout=pool_wait, **options)
        return cls(Redis(connection_pool=pool), pool)

    async def get(self, key: str) -> bytes | str | None:
        return await self._client.get(key)

    async def close(self) -> None:
        if self._pool is not None:
            await getattr(self._client, "aclose", self._client.close)()  # close() is the name before redis-py 5
            await self._pool.disconnect()


class Doorbell:
    """Asks Stoker to load a key that was missed: one query, however many processes ring. Waits at most wait seconds."""

    def __init__(self, url: str, token: str = "", *, wait: float = 0.05) -> None:
        self.wait = wait
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(base_url=url.rstrip("/"), headers=headers, timeout=5.0)

    async def ring(self, job: Job, key: Mapping[str, Any]) -> str:
        """loaded, absent or withheld; raises asyncio.TimeoutError or httpx.HTTPError."""
        body = {"key": {column: _text(value) for column, value in key.items()}}
        request = self._client.post(f"/api/v1/jobs/{job.name}/refresh", json=body)
        response = await asyncio.wait_for(request, self.wait)
        response.raise_for_status()
        return str(response.json()["state"])

    async def close(self) -> None:
        await self._client.aclose()


class Breaker:
    """Spares a server that is down: after limit failures in a row nobody asks it for pause seconds, then one does."""

    def __init__(self, limit: int = 5, pause: float = 1.0) -> None:
        self._limit, self._pause = limit, pause
        self._failures, self._until = 0, 0.0

    def allows(self) -> bool:
        if self._failures < self._limit:
            return True
        now = time.monotonic()
        if now < self._until:
            return False
        self._until = now + self._pause
        return True

    def note(self, ok: bool) -> None:
        self._failures = 0 if ok else self._failures + 1
        if self._failures >= self._limit:
            self._until = time.monotonic() + self._pause


class Flights:
    """Has one piece of work a key under way at a time in this process, whoever waits for it."""

    def __init__(self) -> None:
        self._flying: dict[str, asyncio.Task[Any]] = {}
        self._landed: dict[str, tuple[float, asyncio.Task[Any]]] = {}  # and when, for a while

    async def join(self, key: str, begun: float, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """begun is when the request began: work that has ended since then is as good as work under way."""
        at, task = self._landed.get(key, (0.0, None))
        if task is None or at < begun:
            task = self._flying.get(key)
        if task is None:
            self._flying[key] = task = asyncio.create_task(work())
            task.add_done_callback(lambda _: self._land(key))
        return await asyncio.shield(task)  # a client that hangs up must not end the load for the others

    def _land(self, key: str) -> None:
        self._landed[key] = landed = (time.monotonic(), self._flying.pop(key))
        drop = lambda: self._landed.get(key) is landed and self._landed.pop(key)  # noqa: E731
        asyncio.get_running_loop().call_later(5.0, drop)

    def tasks(self) -> list[asyncio.Task[Any]]:
        return list(self._flying.values())


class Copies:
    """The last answers, the newest up to a size, for while nobody can be asked."""

    def __init__(self, bound: float, size: int) -> None:
        self._bound, self._size, self._used = bound, size, 0
        self._copies: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def keep(self, key: str, body: bytes) -> None:
        self.drop(key)
        if self._bound <= 0 or len(body) > self._size:
            return
        self._copies[key] = (time.monotonic(), body)
        self._used += len(body)
        while self._used > self._size:
            self._used -= len(self._copies.popitem(last=False)[1][1])

    def drop(self, key: str) -> None:
        if (copy := self._copies.pop(key, None)) is not None:
            self._used -= len(copy[1])

    def get(self, key: str) -> bytes | None:
        at, body = self._copies.get(key, (0.0, None))
        return body if body is not None and time.monotonic() - at <= self._bound else None


class DownError(Exception):
    """Who was asked did not answer, or is spared."""


class Reader:
    """Reads keys. One a process, open for as long as the application runs: async with Reader(...) as reader."""

    def __init__(
        self,
        backend: Backend,
        *,
        doorbell: Doorbell | None = None,
        stale_for: float = 30.0,  # how old a copy may be that is sent while nobody can be asked; 0: none is
        stale_size: int = 16 << 20,  # bytes of all copies
        loads: int = 10,  # at once in this process
        load_timeout: float = 5.0,
        breaker_limit: int = 5,
        breaker_pause: float = 1.0,
    ) -> None:
        self._backend, self._doorbell = backend, doorbell
        self._flights = Flights()
        self._copies = Copies(stale_for, stale_size)
        self._loads = asyncio.Semaphore(loads)
        self._load_timeout = load_timeout
        self._redis_up, self._stoker_up, self._load_up = (Breaker(breaker_limit, breaker_pause) for _ in range(3))
        self._gets: set[asyncio.Task[bytes | str | None]] = set()

    async def __aenter__(self) -> Reader:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Waits for what is under way, which time-outs bound, and closes all."""
        while tasks := [*self._gets, *self._flights.tasks()]:
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._backend.close()
        if self._doorbell is not None:
            await self._doorbell.close()

    async def read(self, job: Job, **key: Any) -> Answer:
        name, begun, down = job.key_of(key), time.monotonic(), False
        try:
            body = await self._get(name)
        except DownError:
            body, down = None, True
        if body is not None:
            self._copies.keep(name, body)
            return Answer(Outcome.HIT, Source.REDIS, body)
        return await self._flights.join(name, begun, lambda: self._missed(job, key, name, down))

    async def _get(self, name: str) -> bytes | None:
        """The value in Redis. A GET that is cancelled would leave its answer on the connection, for the next request
        to take as its own (redis-py before 4.5.5): it always runs to its end."""
        if not self._redis_up.allows():
            raise DownError
        try:
            task = asyncio.ensure_future(self._backend.get(name))
            self._gets.add(task)
            task.add_done_callback(self._ended)
            value = await asyncio.shield(task)
        except (RedisError, OSError, asyncio.TimeoutError) as err:
            log.warning("redis did not answer: %r", err)
            self._redis_up.note(False)
            raise DownError from err
        self._redis_up.note(True)
        return value.encode() if isinstance(value, str) else value

    def _ended(self, task: asyncio.Task[bytes | str | None]) -> None:
        self._gets.discard(task)
        if not task.cancelled():
            task.exception()  # the event loop complains of one that nobody has looked at

    async def _missed(self, job: Job, key: Mapping[str, Any], name: str, down: bool) -> Answer:
        state = "" if down else await self._ring(job, key)
        if state == "loaded":
            try:
                body = await self._get(name)
            except DownError:
                body, down = None, True
            if body is not None:
                self._copies.keep(name, body)
                return Answer(Outcome.COLD, Source.DOORBELL, body)
        if state != "absent":
            try:
                body = await self._load(job, key)
            except DownError:
                copy = self._copies.get(name)
                return Answer(Outcome.DOWN, Source.NOTHING if copy is None else Source.STALE, copy)
            if body is not None:
                self._copies.keep(name, body)
                return Answer(Outcome.DOWN if down else Outcome.COLD, Source.LOAD, body)
        self._copies.drop(name)
        return Answer(Outcome.ABSENT, Source.NOTHING)

    async def _ring(self, job: Job, key: Mapping[str, Any]) -> str:
        if self._doorbell is None or not self._stoker_up.allows():
            return ""
        try:
            state = await self._doorbell.ring(job, key)
        except asyncio.TimeoutError:
            return ""  # the query takes longer: Stoker goes on, and the next reader finds the key
        except (httpx.HTTPError, ValueError, KeyError) as err:
            log.warning("stoker did not load a key of %s: %r", job.name, err)
            self._stoker_up.note(False)
            return ""
        self._stoker_up.note(True)
        return state

    async def _load(self, job: Job, key: Mapping[str, Any]) -> bytes | None:
        if job.load is None or not self._load_up.allows():
            raise DownError

        async def load() -> bytes | str | None:
            assert job.load is not None
            async with self._loads:
                return await job.load(key)

        try:
            body = await asyncio.wait_for(load(), self._load_timeout)
        except Exception as err:  # whatever the application's query raises
            log.warning("a key of %s was not loaded: %r", job.name, err)
            self._load_up.note(False)
            raise DownError from err
        self._load_up.note(True)
        return body.encode() if isinstance(body, str) else body

    async def respond(self, request: Request, job: Job, **key: Any) -> Response:
        """Reads a key and answers a GET for it."""
        tags = request.headers.getlist("if-none-match")
        return response(job, await self.read(job, **key), ", ".join(tags) if tags else None)


_CODINGS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def response(job: Job, answer: Answer, if_none_match: str | None = None) -> Response:
    """The HTTP answer: the bytes as they are, never parsed and printed again."""
    detail = answer.outcome.value
    if answer.source is not Source.NOTHING:
        detail += "/" + answer.source.value
    headers = {"cache-status": f"stoker; fwd=uri-miss; detail={detail}", "cache-control": "no-store"}
    if answer.outcome is Outcome.HIT:
        headers["cache-status"] = "stoker; hit"
    if answer.body is None:
        status, text = 404, b'{"detail":"not found"}'
        if answer.outcome is Outcome.DOWN:
            status, text = 503, b'{"detail":"temporarily unavailable"}'
            headers["retry-after"] = "1"
        return Response(text, status, headers, media_type="application/json")
    for magic, coding in _CODINGS.items():
        if answer.body.startswith(magic):  # the job has `compress`
            headers.update({"content-encoding": coding, "vary": "Accept-Encoding"})
    headers["etag"] = tag = etag(answer.body)
    if answer.source is not Source.STALE:
        headers["cache-control"] = f"max-age={int(job.freshness)}" if job.freshness >= 1 else "no-cache"
    if matches(if_none_match, tag):
        return Response(None, 304, headers)
    return Response(answer.body, 200, headers, media_type=job.media_type)
