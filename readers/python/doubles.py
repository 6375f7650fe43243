"""Doubles of caching libraries, for the tests: what their documentation says of keys and of how a value is read. Each
has the names of the library's public interface, as far as the tests use them."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from redis.asyncio import Redis


class Sdk:
    """fastapi-redis-sdk: cache() is a dependency that answers a hit by an exception; a middleware stores misses."""

    class CacheHit(Exception):
        def __init__(self, response: Response) -> None:
            self.response = response

    @staticmethod
    async def handler(request: Request, exc: Any) -> Response:
        return exc.response

    @staticmethod
    def key(request: Request, group: str, prefix: str) -> str:
        def quoted(text: str) -> str:
            for char, code in ((":", "%3A"), ("&", "%26"), ("=", "%3D")):
                text = text.replace(char, code)
            return text

        query = "&".join(f"{name}={quoted(value)}" for name, value in sorted(request.query_params.items()))
        parts = [prefix, "{" + group + "}" if group else "", request.url.path.strip("/").replace("/", ":"), query]
        return ":".join(part for part in parts if part)

    @classmethod
    def cache(cls, redis: Redis, group: str = "", prefix: str = "redis:fastapi:cache") -> Any:
        async def dependency(request: Request) -> None:
            key = cls.key(request, group, prefix)
            async with redis.pipeline() as pipe:
                cached, left = await pipe.get(key).ttl(key).execute()
            if not cached:
                request.state.pending = key
                return
            entry = json.loads(cached)
            headers = {
                "x-redis-cache": "HIT",
                "etag": entry["etag"],
                "cache-control": f"max-age={left}" if left > 0 else "no-cache",
            }
            if request.headers.get("if-none-match") == entry["etag"]:
                raise cls.CacheHit(Response(status_code=304, headers=headers))
            raise cls.CacheHit(Response(entry["body"].encode(), media_type="application/json", headers=headers))

        return Depends(dependency)

    @staticmethod
    def capture(app: FastAPI, redis: Redis) -> None:
        """The stock middleware: it stores what an endpoint answered, for a TTL of the route."""

        @app.middleware("http")
        async def store(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Response:
            answer = await call_next(request)
            body = b"".join([chunk async for chunk in answer.body_iterator])
            if (key := getattr(request.state, "pending", None)) is not None:
                etag = f'W/"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
                await redis.set(key, json.dumps({"body": body.decode(), "etag": etag}))
            return Response(body, answer.status_code, dict(answer.headers))


class JsonCoder:
    @staticmethod
    def encode(value: Any) -> bytes:
        return json.dumps(value).encode()

    @staticmethod
    def decode(value: bytes) -> Any:
        return json.loads(value.decode())


def default_key_builder(
    func: Callable[..., Any],
    namespace: str = "",
    *,
    request: Any = None,
    response: Any = None,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
) -> str:
    text = f"{func.__module__}:{func.__name__}:{args}:{kwargs}"
    return f"{namespace}:{hashlib.md5(text.encode()).hexdigest()}"


class RedisBackend:
    """The stock back end of fastapi-cache2."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def get_with_ttl(self, key: str) -> tuple[int, bytes | None]:
        async with self.redis.pipeline(transaction=True) as pipe:
            return tuple(await pipe.ttl(key).get(key).execute())

    async def set(self, key: str, value: bytes, expire: int | None = None) -> None:
        await self.redis.set(key, value, ex=expire)


class FastAPICache:
    """fastapi-cache2."""

    backend: Any
    prefix = ""
    expire: int | None = None

    @classmethod
    def init(cls, backend: Any, prefix: str = "", expire: int | None = None) -> None:
        cls.backend, cls.prefix, cls.expire = backend, prefix, expire

    @classmethod
    async def clear(cls, namespace: str | None = None, key: str | None = None) -> int:
        return await cls.backend.clear(cls.prefix + (":" + namespace if namespace else ""), key)


def cache(namespace: str = "", key_builder: Callable[..., str] = default_key_builder) -> Any:
    """The decorator of fastapi-cache2, of an endpoint that takes request and response."""

    def wrapper(func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        async def inner(*args: Any, **kwargs: Any) -> Any:
            rest = {name: value for name, value in kwargs.items() if name not in ("request", "response")}
            request, response = kwargs["request"], kwargs["response"]
            backend, space = FastAPICache.backend, f"{FastAPICache.prefix}:{namespace}"
            key = key_builder(func, space, request=request, response=response, args=args, kwargs=rest)
            left, cached = await backend.get_with_ttl(key)
            if cached is None:
                value = await func(*args, **kwargs)
                await backend.set(key, JsonCoder.encode(value), FastAPICache.expire)
                response.headers.update({"cache-control": f"max-age={FastAPICache.expire}", "x-fastapi-cache": "MISS"})
                return value
            etag = f"W/{hash(cached)}"
            response.headers.update({"cache-control": f"max-age={left}", "etag": etag, "x-fastapi-cache": "HIT"})
            if request.headers.get("if-none-match") == etag:
                response.status_code = 304
                return response
            return JsonCoder.decode(cached)

        return inner

    return wrapper


class Cashews:
    """cashews: @cache(ttl=..., key="product:{product_id}") with pickle_type="null", and cache.disable(Command.SET)."""

    def __init__(self, redis: Redis, *, writes: bool = True) -> None:
        self.redis, self.writes = redis, writes

    async def get(self, key: str) -> Any:
        value = await self.redis.get(key)
        return int(value) if value is not None and value.isdigit() else value

    def __call__(self, key: str) -> Any:
        def wrapper(func: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(func)
            async def inner(*args: Any, **kwargs: Any) -> Any:
                bound = inspect.signature(func).bind(*args, **kwargs)
                bound.apply_defaults()
                texts = {name: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
                         for name, value in bound.arguments.items()}
                name = key.format(**texts)
                if (cached := await self.get(name)) is not None:
                    return cached
                value = await func(*args, **kwargs)
                if self.writes:
                    await self.redis.set(name, value)
                return value

            return inner

        return wrapper


class Aiocache:
    """aiocache: @cached(cache=Cache.REDIS, serializer=JsonSerializer(), namespace=..., skip_cache_func=...)."""

    def __init__(self, redis: Redis, namespace: str = "", skip_cache_func: Callable[[Any], bool] = lambda _: False) -> None:
        self.redis, self.namespace, self.skip = redis, namespace, skip_cache_func

    def __call__(self, key_builder: Callable[..., str] | None = None) -> Any:
        def default(func: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
            return (func.__module__ or "") + func.__name__ + str(args) + str(sorted(kwargs.items()))

        def wrapper(func: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(func)
            async def inner(*args: Any, **kwargs: Any) -> Any:
                key = (key_builder or default)(func, *args, **kwargs)
                name = f"{self.namespace}:{key}" if self.namespace else key
                cached = await self.redis.get(name)
                if cached is not None and (value := json.loads(cached.decode())) is not None:
                    return value
                value = await func(*args, **kwargs)
                if not self.skip(value):
                    await self.redis.set(name, json.dumps(value))
                return value

            return inner

        return wrapper
