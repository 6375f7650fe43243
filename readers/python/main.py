"""An API node that reads what Stoker keeps warm.

GET /products/{id}          answers with the bytes that are in Redis
PUT /products/{id}/price    changes a row, then invalidates its key

The node reads product:{id} and never writes it: Stoker is the only writer.
"""

import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import asyncpg
import httpx
from fastapi import FastAPI, HTTPException, Path, Request, Response
from pydantic import BaseModel, Field

from stoker_reader import Doorbell, Job, Reader, RedisBackend

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


async def load_product(key: Mapping[str, Any]) -> str | None:
    """What is asked on a miss, once a key in this process. It writes nothing to Redis."""
    return await app.state.postgres.fetchval(PRODUCT_SQL, key["id"])


# freshness: the job's schedule. Where Stoker follows the database, leave it at 0: then clients ask each time, and
# get 304 as long as nothing has changed.
PRODUCT = Job("product", "product:{id}", freshness=300, load=load_product)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    headers = {"Authorization": f"Bearer {STOKER_TOKEN}"} if STOKER_TOKEN else {}
    doorbell = Doorbell(STOKER_URL, STOKER_TOKEN)
    # timezone=UTC makes row_to_json print timestamps as Stoker does. max_size is what
    # Postgres sees of this process at most, however many keys are cold.
    async with (
        asyncpg.create_pool(
            DATABASE_URL, min_size=0, max_size=10, command_timeout=5, server_settings={"timezone": "UTC"}
        ) as app.state.postgres,
        httpx.AsyncClient(base_url=STOKER_URL, headers=headers, timeout=2.0) as app.state.stoker,
        Reader(RedisBackend.from_url(REDIS_URL), doorbell=doorbell) as app.state.reader,
    ):
        yield


app = FastAPI()
app.router.lifespan_context = lifespan  # FastAPI(lifespan=...) is ignored before 0.93


@app.get("/products/{product_id}")
async def read_product(request: Request, product_id: int = Path(ge=1, le=MAX_ID)) -> Response:
    return await app.state.reader.respond(request, PRODUCT, id=product_id)


class NewPrice(BaseModel):
    price: Decimal = Field(ge=0, max_digits=10, decimal_places=2)


@app.put("/products/{product_id}/price", status_code=202)
async def change_price(body: NewPrice, product_id: int = Path(ge=1, le=MAX_ID)) -> dict[str, bool]:
    async with app.state.postgres.acquire() as conn, conn.transaction():
        found = await conn.fetchval(
            "UPDATE product SET price = $2 WHERE id = $1 RETURNING id", product_id, body.price
        )
    if found is None:
        raise HTTPException(404, "no such product")
    # The transaction has committed here, and only now may the key be invalidated: before the COMMIT Stoker would
    # load the old row again. 202: the row is changed, and the key follows as soon as a worker has loaded it.
    return {"changed": True, "invalidated": await invalidate(product_id)}


async def invalidate(product_id: int) -> bool:
    """Asks Stoker to load a key again, which is not needed where Stoker follows the database."""
    try:
        answer = await app.state.stoker.post("/api/v1/jobs/product/invalidate", json={"keys": [{"id": product_id}]})
        answer.raise_for_status()
    except httpx.HTTPError as err:
        # The price is changed, so the request has not failed. The next run of the
        # job writes the new value, and the TTL bounds the old one.
        log.warning("the key of product %d was not invalidated: %s", product_id, err)
        return False
    return True
