"""Serves ../conformance.json's cases: the test tells it what the next case is, and sends it requests over HTTP.

It prints its address in a line of JSON, and ends with its standard input. STOKER_READER_BROKEN breaks it on purpose.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from redis.asyncio import Redis

import stoker_reader
from stoker_reader import Doorbell, Flights, Job, MemoryBackend, Reader, RedisBackend


class Case:
    """The reader of one case, and its application's database: a dict."""

    def __init__(self, c: dict[str, Any]) -> None:
        self.rows: dict[str, str] = c.get("rows", {})
        self.fails: bool = c.get("load_fails", False)
        self.delay: float = c.get("load_ms", 0) / 1000
        self.loads = 0
        self.given: Redis | None = None
        load = None if c.get("no_load") else self.load
        self.jobs = {
            "products": Job("product", "product:{id}", freshness=c.get("freshness", 300), load=load),
            "things": Job("thing", "{{thing}}:{name}:{size}", freshness=c.get("freshness", 300), load=load),
        }
        doorbell = Doorbell(c["stoker"], c["token"], wait=c.get("wait_ms", 50) / 1000) if c.get("stoker") else None
        self.reader = Reader(
            self.backend(c),
            doorbell=doorbell,
            stale_for=c.get("stale_ms", 0) / 1000,
            breaker_pause=c.get("pause_ms", 1000) / 1000,
            breaker_limit=c.get("failures", 5),
            loads=c.get("loads", 10),
            load_timeout=c.get("load_timeout_ms", 5000) / 1000,
        )

    def backend(self, c: dict[str, Any]) -> stoker_reader.Backend:
        if c.get("memory"):
            return MemoryBackend(c["redis"])
        if c.get("client") == "given":
            self.given = Redis.from_url(c["redis_url"], decode_responses=c.get("decode", False))
            return RedisBackend(self.given)
        return RedisBackend.from_url(
            c["redis_url"],
            decode_responses=c.get("decode", False),
            connections=c.get("pool", 50),
            pool_wait=c.get("pool_wait_ms", 500) / 1000,
            timeout=c.get("timeout_ms", 500) / 1000,
        )

    async def load(self, key: Any) -> str | None:
        self.loads += 1
        name = ":".join(str(v) for v in key.values())
        await asyncio.sleep(self.delay)
        if self.fails:
            raise ConnectionError("the database is down")
        value = self.rows.get(name)
        if BROKEN == "writes" and value is not None:
            await self.reader._backend._client.set(f"product:{name}", value)  # type: ignore[attr-defined]
        return value

    async def close(self) -> None:
        await self.reader.close()
        if self.given is not None:
            await self.given.close()
            await self.given.connection_pool.disconnect()


BROKEN = os.environ.get("STOKER_READER_BROKEN", "")
if BROKEN == "parsed":
    parsed = lambda body: '"' + hashlib.sha256(json.dumps(json.loads(body)).encode()).hexdigest()[:32] + '"'  # noqa: E731
    stoker_reader.etag = parsed
if BROKEN == "flights":

    async def alone(self: Flights, key: str, begun: float, work: Any) -> Any:
        return await work()

    Flights.join = alone  # type: ignore[method-assign]

app = FastAPI()
case: Case | None = None


@app.post("/-/case")
async def begin(request: Request) -> dict[str, Any]:
    global case
    if case is not None:
        await case.close()
    case, c = None, await request.json()
    if c:
        case = Case(c)
    return {}


@app.post("/-/rows")
async def change(request: Request) -> dict[str, Any]:
    assert case is not None
    c = await request.json()
    case.rows, case.fails = c.get("rows", case.rows), c.get("load_fails", case.fails)
    return {}


@app.get("/-/loads")
async def loads() -> int:
    return case.loads if case else 0


@app.get("/products/{product_id}")
async def product(request: Request, product_id: int) -> Response:
    assert case is not None
    return await case.reader.respond(request, case.jobs["products"], id=product_id)


@app.get("/things/{name}/{size}")
async def thing(request: Request, name: str, size: str) -> Response:
    assert case is not None
    return await case.reader.respond(request, case.jobs["things"], name=name, size=size)


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(json.dumps({"language": "python", "servers": {"fastapi": f"http://127.0.0.1:{port}"}}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    if case is not None:
        await case.close()
    server.should_exit = True
    await serving


asyncio.run(main())
