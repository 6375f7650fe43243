"""Warm keys for caching libraries: hits on the first request, and nothing but Stoker writes a key. Copy this file into
your API, beside stoker_reader.py. What each library needs, and what does not fit, is in docs/readers.md.

    FastAPICache.init(StokerBackend(redis), prefix="", expire=0)          # fastapi-cache2

    @app.get("/products/{product_id}")
    @cache(key_builder=stoker_key("product:{product_id}"))
    async def read_product(product_id: int): ...

    app.add_middleware(ClientFreshness, freshness=0)                      # fastapi-redis-sdk, cashews
"""

from __future__ import annotations

import datetime
import hashlib
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from enum import Enum
from typing import Any

import httpx
from redis.asyncio import Redis

from stoker_reader import Job


def postgres_text(value: Any) -> str:
    """A value as Postgres prints it in a key."""
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        raise TypeError("a key column is None: a row with NULL in a key column has no key")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def stoker_key(template: str) -> Callable[..., str]:
    """A key builder for fastapi-cache2: the key template of the job, with the arguments of the endpoint for columns."""
    job = Job("", template)

    def build(
        func: Callable[..., Any],
        namespace: str = "",
        *,
        request: Any = None,
        response: Any = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        parameters = inspect.signature(func).parameters
        given = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
        given.update(zip(parameters, args))
        given.update(kwargs or {})
        return job.key_of(_Texts(given, template))

    return build


class _Texts(dict[str, Any]):
    """Arguments by name, as texts."""

    def __init__(self, values: Mapping[str, Any], template: str) -> None:
        super().__init__(values)
        self._template = template

    def __getitem__(self, name: str) -> str:
        if name not in self:
            raise KeyError(f"the key {self._template} names {name}, which the endpoint does not take")
        return postgres_text(super().__getitem__(name))


class _Value(bytes):
    """Bytes whose hash is the same in every process and after a restart: fastapi-cache2 makes its ETag of the hash."""

    def __hash__(self) -> int:
        return int.from_bytes(hashlib.sha256(self).digest()[:8], "big", signed=True)


class StokerBackend:
    """A back end of fastapi-cache2 that reads what Stoker wrote, and writes nothing.

    The library stores what an endpoint returned after a miss: over a newer value, if there was one meanwhile, because
    it cannot know. Here set() does nothing: only Stoker writes.

    freshness is what the library sends as max-age: for how many seconds a client may keep an answer, for all keys or by
    key. Never the TTL in Redis, which is how long an old value is better than none.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        freshness: float | Callable[[str], float] = 0,
        invalidations: Invalidations | None = None,
    ) -> None:
        self._redis, self._freshness, self._invalidations = redis, freshness, invalidations

    async def get_with_ttl(self, key: str) -> tuple[int, bytes | None]:
        value = await self.get(key)
        fresh = self._freshness(key) if callable(self._freshness) else self._freshness
        return (0 if value is None else int(fresh)), value

    async def get(self, key: str) -> bytes | None:
        value = await self._redis.get(key)
        if value is None:
            return None
        return _Value(value.encode() if isinstance(value, str) else value)

    async def set(self, key: str, value: bytes, expire: int | None = None) -> None:
        """Writes nothing."""

    async def clear(self, namespace: str | None = None, key: str | None = None) -> int:
        """Has Stoker load keys again; the number of keys, or of jobs, that were asked for."""
        if self._invalidations is None:
            raise RuntimeError("clear() needs StokerBackend(..., invalidations=Invalidations(...))")
        return await self._invalidations.clear(namespace, key)


class Invalidations:
    """Asks Stoker's API to load keys again. jobs are key templates by the names of their jobs."""

    def __init__(self, url: str, jobs: Mapping[str, str], token: str = "", *, timeout: float = 5.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.AsyncClient(base_url=url.rstrip("/"), headers=headers, timeout=timeout)
        self._jobs = dict(jobs)

    async def clear(self, namespace: str | None = None, key: str | None = None) -> int:
        """One key; or all of a namespace, which is the name of a job or what its keys begin with; or all of all jobs."""
        if key:
            for job, template in self._jobs.items():
                if (columns := key_columns(template, key)) is not None:
                    await self._send(job, {"keys": [columns]})
                    return 1
            raise KeyError(f"{key} is a key of no job that was given")
        space = (namespace or "").strip(":")
        named = [job for job, template in self._jobs.items() if not space or job == space or
                 template.startswith(space + ":")]
        if not named:
            raise KeyError(f"no job that was given is named {space}, or has keys that begin with {space}:")
        for job in named:
            await self._send(job, {"all": True})
        return len(named)

    async def _send(self, job: str, body: Mapping[str, Any]) -> None:
        response = await self._client.post(f"/api/v1/jobs/{job}/invalidate", json=body)
        response.raise_for_status()

    async def close(self) -> None:
        await self._client.aclose()


def key_columns(template: str, key: str) -> dict[str, str] | None:
    """The columns of a key that was made by a template; None if it was not."""
    pattern, columns = "", []
    for part in re.findall(r"\{\{|\}\}|\{[^{}]+\}|[^{}]+", template):
        if part in ("{{", "}}"):
            pattern += re.escape(part[0])
        elif part[0] == "{":
            columns.append(part[1:-1])
            pattern += "(.*?)"
        else:
            pattern += re.escape(part)
    match = re.fullmatch(pattern, key, re.DOTALL)
    return dict(zip(columns, match.groups())) if match else None


_MAX_AGE = re.compile(rb"max-age=(\d+)")


class ClientFreshness:
    """ASGI middleware for libraries that send what is left of the TTL in Redis as max-age: clients are told freshness
    instead, in seconds, or less if less is left. 0: they may keep an answer, and ask each time whether it has changed."""

    def __init__(self, app: Any, freshness: float = 0) -> None:
        self._app, self._freshness = app, int(freshness)

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        async def tell(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", [])
                message = {**message, "headers": [
                    (name, _MAX_AGE.sub(self._fresh, value) if name.lower() == b"cache-control" else value)
                    for name, value in headers
                ]}
            await send(message)

        await self._app(scope, receive, tell if scope["type"] == "http" else send)

    def _fresh(self, match: re.Match[bytes]) -> bytes:
        age = min(int(match[1]), self._freshness)
        return b"max-age=%d" % age if age > 0 else b"no-cache"
