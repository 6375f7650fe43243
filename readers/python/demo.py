"""The reader of `stoker demo`: a page that shows what a browser gets of one product, and what a COMMIT does to it.

It prints its address in a line of JSON, and ends with its standard input.
"""

import asyncio
import json
import os
import sys

import asyncpg
import uvicorn
from fastapi import FastAPI, Path, Request, Response
from fastapi.responses import HTMLResponse

from stoker_reader import Doorbell, Job, Reader, RedisBackend

# No freshness: Stoker follows every COMMIT of the shop, so browsers ask each time and get 304. No load: only Stoker asks
# the database.
PRODUCT = Job("product", "product:{id}")

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>A FastAPI node that reads warm keys</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }
  table { border-collapse: collapse; width: 100% }
  td, th { text-align: left; padding: .2em .8em .2em 0; border-bottom: 1px solid #8884 }
  code, td { font-family: ui-monospace, monospace; font-size: 13px }
  button { font: inherit; padding: .3em .8em }
</style>
<h1>A FastAPI node that reads warm keys</h1>
<p><code>GET /products/<input id="id" value="42" size="6"></code> twice a second, as a browser that knows its last ETag.
<p><button id="commit">COMMIT a new price</button> <span id="took"></span>
<p id="sums"></p>
<table><thead><tr><th>time<th>status<th>Cache-Status<th>Cache-Control<th>ETag<th>price<th>took</thead>
<tbody id="reads"></tbody></table>
<script>
const by = (id) => document.getElementById(id);
let tag = "", of = "", price = "", committed = 0, sums = {};
async function read() {
  const id = by("id").value.trim(), begun = performance.now();
  const known = id === of && tag ? { "if-none-match": tag } : {};
  const answer = await fetch("/products/" + encodeURIComponent(id), { headers: known, cache: "no-store" });
  const text = await answer.text(), took = performance.now() - begun, h = answer.headers;
  if (answer.status === 200) {
    price = (text.match(/"price":([0-9.]+)/) || [])[1];
    if (committed && id === of) {
      by("took").textContent = `the new price was read ${Math.round(performance.now() - committed)} ms after the COMMIT`;
      committed = 0;
    }
    tag = h.get("etag");
    of = id;
  }
  sums[answer.status] = (sums[answer.status] || 0) + 1;
  by("sums").textContent = Object.entries(sums).map(([status, n]) => `${status}: ${n}`).join(", ");
  const row = by("reads").insertRow(0);
  for (const cell of [new Date().toLocaleTimeString(), answer.status, h.get("cache-status"), h.get("cache-control"),
    h.get("etag"), answer.ok || answer.status === 304 ? price : text, Math.round(took) + " ms"]) {
    row.insertCell().textContent = cell;
  }
  while (by("reads").rows.length > 15) by("reads").deleteRow(-1);
}
by("commit").onclick = async () => {
  const answer = await fetch("/products/" + encodeURIComponent(by("id").value.trim()) + "/price", { method: "PUT" });
  if (answer.ok) committed = performance.now();
  await read();
};
(async () => { for (;;) { await read().catch(() => {}); await new Promise((done) => setTimeout(done, 500)); } })();
</script>
"""

app = FastAPI()


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return PAGE


@app.get("/products/{product_id}")
async def read_product(request: Request, product_id: int = Path(ge=1, le=2**63 - 1)) -> Response:
    return await app.state.reader.respond(request, PRODUCT, id=product_id)


@app.put("/products/{product_id}/price")
async def change_price(product_id: int = Path(ge=1, le=2**63 - 1)) -> dict[str, bool]:
    """Nobody tells Stoker of it: it reads the COMMIT from the write-ahead log."""
    sql = "UPDATE product SET price = round((1 + random() * 99)::numeric, 2) WHERE id = $1 RETURNING id"
    return {"changed": await app.state.postgres.fetchval(sql, product_id) is not None}


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    # a wait of a second: there is no other way to load a key
    doorbell = Doorbell(os.environ["STOKER_URL"], wait=1.0)
    async with (
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=0, max_size=2) as app.state.postgres,
        Reader(RedisBackend.from_url(os.environ["REDIS_URL"]), doorbell=doorbell) as app.state.reader,
    ):
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        print(json.dumps({"url": f"http://127.0.0.1:{port}/"}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        server.should_exit = True
        await serving


asyncio.run(main())
