"""An API node that reads what Stoker keeps warm.

GET /products/{id}          answers with the bytes that are in Redis
PUT /products/{id}/price    changes a row, then invalidates its key

The node reads product:{id} and never writes it: Stoker is the only writer.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
from fastapi import FastAPI, HTTPException, Path, Response
from pydantic import BaseModel, Field
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

log = logging.getLogger("shop")

DATABASE_URL = os.environ["DATABASE_URL"]
REDIS_URL = os.environ["REDIS_URL"]
STOKER_URL = os.environ.get("STOKER_URL", "http://127.0.0.1:8080")
STOKER_TOKEN = os.environ.get("STOKER_TOKEN", "")  # the spec's admin.token, if it sets one

# The query of the job `product` in stoker.yaml, for one key. Keep the two alike:
# a client must not be able to tell whether it was answered by Redis or Postgres.
PRODUCT_SQL = """
SELECT row_to_json(q)::text
FROM (SELECT id, sku, name, price, stock FROM product WHERE active) q
WHERE q.id = $1
"""

MAX_ID = 2**63 - 1  # product.id is a bigint


class Flights:
    """Has each key loaded at most once at a time in this process.

    A thousand requests for one cold key ask Postgres once. It is what keeps a
    miss from becoming a stampede on the day when Redis is empty.
    """

    def __init__(self, load: Callable[[int], Coroutine[Any, Any, bytes | None]]) -> None:
        self._load = load
        self._flying: dict[int, asyncio.Task[bytes | None]] = {}

    async def get(self, key: int) -> bytes | None:
        task = self._flying.get(key)
        if task is None:
            task = asyncio.create_task(self._load(key))
            self._flying[key] = task
            task.add_done_callback(lambda _: self._flying.pop(key, None))
        # shield: a client that hangs up must not cancel the load for the others.
        return await asyncio.shield(task)


class Node:
    """What the endpoints share: connections, and the loads that are going on."""

    def __init__(self, redis: Redis, postgres: asyncpg.Pool, stoker: httpx.AsyncClient) -> None:
        self.redis = redis
        self.postgres = postgres
        self.stoker = stoker
        self.flights = Flights(self._load)

    async def cached(self, product_id: int) -> bytes | None:
        """The value in Redis. A Redis that is down is a miss, not an error."""
        try:
            return await self.redis.get(f"product:{product_id}")
        except RedisError as err:
            log.warning("redis did not answer, asking postgres: %s", err)
            return None

    async def _load(self, product_id: int) -> bytes | None:
        text: str | None = await self.postgres.fetchval(PRODUCT_SQL, product_id)
        # The value is not written to Redis here. This node cannot know whether a
        # newer one was written since its query began, and would overwrite it.
        return None if text is None else text.encode()

    async def set_price(self, product_id: int, price: Decimal) -> bool:
        async with self.postgres.acquire() as conn:
            async with conn.transaction():
                found = await conn.fetchval(
                    "UPDATE product SET price = $2 WHERE id = $1 RETURNING id", product_id, price
                )
        # The transaction has committed here, and only now may the key be invalidated:
        # before the COMMIT Stoker would load the old row again.
        return found is not None

    async def invalidate(self, product_id: int) -> bool:
        """Asks Stoker to load a key again; False if Stoker did not answer."""
        try:
            answer = await self.stoker.post(
                "/api/v1/jobs/product/invalidate", json={"keys": [{"id": product_id}]}
            )
            answer.raise_for_status()
        except httpx.HTTPError as err:
            # The price is changed, so the request has not failed. The next run of the
            # job writes the new value, and the TTL bounds the old one.
            log.warning("the key of product %d was not invalidated: %s", product_id, err)
            return False
        return True


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Short timeouts: a Redis that hangs must cost less than the query it saves.
    # Blocking pool: when all connections are busy a request waits for one, and does
    # not fall through to Postgres at once.
    pool = BlockingConnectionPool.from_url(
        REDIS_URL, max_connections=50, timeout=0.5, socket_timeout=0.5, socket_connect_timeout=0.5
    )
    redis = Redis(connection_pool=pool)
    # timezone=UTC makes row_to_json print timestamps as Stoker does. max_size is what
    # Postgres sees of this process at most, however many keys are cold.
    postgres = await asyncpg.create_pool(
        DATABASE_URL, min_size=0, max_size=10, command_timeout=5, server_settings={"timezone": "UTC"}
    )
    headers = {"Authorization": f"Bearer {STOKER_TOKEN}"} if STOKER_TOKEN else {}
    stoker = httpx.AsyncClient(base_url=STOKER_URL, headers=headers, timeout=2.0)
    app.state.node = Node(redis, postgres, stoker)
    try:
        yield
    finally:
        await stoker.aclose()
        await postgres.close()
        await pool.disconnect()


app = FastAPI(lifespan=lifespan)


def node() -> Node:
    return app.state.node


@app.get("/products/{product_id}")
async def read_product(product_id: int = Path(ge=1, le=MAX_ID)) -> Response:
    value, hit = await node().cached(product_id), "hit"
    if value is None:
        # A product that does not exist ends here as well: no key stands for "no row".
        value, hit = await node().flights.get(product_id), "miss"
    if value is None:
        raise HTTPException(404, "no such product", headers={"x-cache": "miss"})
    # The bytes are JSON already. Parsing and printing them again would cost time and
    # could change them: 1.50 would become 1.5.
    return Response(value, media_type="application/json", headers={"x-cache": hit})


class NewPrice(BaseModel):
    price: Decimal = Field(ge=0, max_digits=10, decimal_places=2)


@app.put("/products/{product_id}/price", status_code=202)
async def change_price(body: NewPrice, product_id: int = Path(ge=1, le=MAX_ID)) -> dict[str, bool]:
    if not await node().set_price(product_id, body.price):
        raise HTTPException(404, "no such product")
    # 202: the row is changed, and the key follows as soon as a worker has loaded it.
    return {"changed": True, "invalidated": await node().invalidate(product_id)}
