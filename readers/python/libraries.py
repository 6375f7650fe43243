"""Reads warm keys through the doubles of caching libraries, and prints what each came to, as JSON. STOKER_STOCK leaves
the libraries as they are: then they write."""

from __future__ import annotations

import asyncio
import datetime
import enum
import json
import os
import sys
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI, Request, Response
from redis.asyncio import Redis

from doubles import Aiocache, Cashews, FastAPICache, RedisBackend, Sdk, cache, default_key_builder
from stoker_libraries import ClientFreshness, Invalidations, StokerBackend, key_columns, postgres_text, stoker_key

STOCK = bool(os.environ.get("STOKER_STOCK"))


class Colour(enum.Enum):
    DARK_BLUE = "dark-blue"


class Size(str, enum.Enum):
    SMALL = "s"


def read_product(product_id: int) -> None: ...


read_product.__module__ = "app.main"


def key_vectors() -> list[str]:
    """The keys that fastapi-cache2 makes by default of the arguments in cache_keys.json."""
    with open("cache_keys.json", encoding="utf-8") as file:
        cases = json.load(file)
    names = {"datetime": datetime, "Decimal": Decimal, "UUID": UUID, "Colour": Colour, "Size": Size}
    return [
        default_key_builder(read_product, "fastapi-cache:v1", args=(), kwargs=eval(case["kwargs"], names))
        for case in cases
    ]


def built_keys() -> list[str]:
    """Keys of our key builder."""

    def endpoint(shop: str, product_id: Any, limit: int = 10) -> None: ...

    build, uuid = stoker_key("p:{{x}}:{shop}:{product_id}:{limit}"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    values = [1, True, 2.0, 0.5, Decimal("1.50"), UUID(uuid), datetime.date(2024, 1, 2), Size.SMALL, Colour.DARK_BLUE,
              datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), "a:b"]
    keys = [build(endpoint, ":v1", args=("s",), kwargs={"product_id": value}) for value in values]
    for wrong in ({"product_id": None, "shop": "s"}, {"shop": "s"}):
        try:
            keys.append(build(endpoint, ":v1", args=(), kwargs=wrong))
        except (KeyError, TypeError) as err:
            keys.append(type(err).__name__)
    return [*keys, str(key_columns("p:{{x}}:{a}:{b}", "p:{x}:1:b")), str(key_columns("p:{a}", "q:1")), postgres_text(3)]


def build_app(redis: Redis, invalidations: Invalidations) -> FastAPI:
    app = FastAPI()
    app.add_exception_handler(Sdk.CacheHit, Sdk.handler)
    if STOCK:
        Sdk.capture(app, redis)
        FastAPICache.init(RedisBackend(redis), prefix="fastapi-cache")
        cashews, aiocache = Cashews(redis), Aiocache(redis, "api")
    else:
        app.add_middleware(ClientFreshness, freshness=5)
        backend = StokerBackend(redis, freshness=3, invalidations=invalidations)
        FastAPICache.init(backend, prefix="fastapi-cache", expire=7)
        cashews, aiocache = Cashews(redis, writes=False), Aiocache(redis, "api", skip_cache_func=lambda _: True)

    @app.get("/products/{product_id}", dependencies=[Sdk.cache(redis, "products")])
    async def sdk(product_id: int) -> dict[str, int]:
        return {"loaded": product_id}

    @app.get("/search", dependencies=[Sdk.cache(redis)])
    async def search(q: str, a: str) -> dict[str, str]:
        return {"loaded": q + a}

    @app.get("/built/{product_id}")
    @cache(key_builder=stoker_key("product:{product_id}"))
    async def built(request: Request, response: Response, product_id: int) -> Any:
        return {"loaded": product_id}

    async def read_product(request: Request, response: Response, product_id: int, shop: str = "it's") -> Any:
        return {"loaded": product_id}

    read_product.__module__ = "app.main"
    app.get("/hashed/{product_id}")(cache(namespace="v1")(read_product))

    @cashews(key="product:{product_id}")
    async def product(product_id: int) -> bytes:
        return b'{"loaded":1}'

    @app.get("/cashews/{product_id}")
    async def by_cashews(product_id: int) -> Response:
        return Response(await product(product_id=product_id), media_type="application/json")

    @app.get("/stock/{product_id}")
    @cashews(key="stock:{product_id}")
    async def stock(product_id: int) -> Any:
        return 0

    @app.get("/aiocache/{product_id}")
    async def by_aiocache(product_id: int) -> Any:
        return await load(product_id=product_id)

    @aiocache()
    async def load(product_id: int) -> Any:
        return {"loaded": product_id}

    load.__wrapped__.__module__ = "app.main"
    return app


async def main() -> None:
    given = json.load(sys.stdin)
    redis = Redis.from_url(given["redis_url"])
    invalidations = Invalidations(given["stoker_url"], {"product": "product:{id}", "stock": "stock:{id}"}, given["token"])
    app = build_app(redis, invalidations)
    answers = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        for path in given["paths"]:
            answer = await client.get(path)
            etag = answer.headers.get("etag")
            again = (await client.get(path, headers={"if-none-match": etag})).status_code if etag else 0
            answers.append({"path": path, "status": answer.status_code, "body": answer.text, "etag": etag or "",
                            "control": answer.headers.get("cache-control", ""), "again": again})
    cleared = []
    if not STOCK:
        for arguments in ({"key": "product:42"}, {"namespace": "stock"}, {}, {"key": "other:1"}, {"namespace": "other"}):
            FastAPICache.prefix = ""
            try:
                cleared.append(str(await FastAPICache.clear(**arguments)))
            except (KeyError, httpx.HTTPError) as err:
                cleared.append(type(err).__name__)
    await invalidations.close()
    await redis.close()
    await redis.connection_pool.disconnect()
    json.dump({"answers": answers, "vectors": key_vectors(), "built": built_keys(), "cleared": cleared}, sys.stdout)


asyncio.run(main())
