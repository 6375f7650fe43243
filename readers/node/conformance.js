// Serves ../conformance.json's cases with Express and with Fastify: the test tells what the next case is, and sends
// requests over HTTP. It prints its addresses in a line of JSON, and ends with its standard input.
import express from "express";
import Fastify from "fastify";
import { createClient } from "redis";
import { Doorbell, Job, MemoryBackend, Reader, RedisBackend, send, sendFastify } from "./stoker-reader.js";

class Case {
  loads = 0;
  constructor(c) {
    this.c = { rows: {}, ...c };
    const freshness = c.freshness ?? 300;
    const load = c.no_load ? undefined : (key) => this.load(key);
    this.products = new Job({ name: "product", key: "product:{id}", freshness, load });
    this.things = new Job({ name: "thing", key: "{{thing}}:{name}:{size}", freshness, load });
  }
  async open() {
    const c = this.c;
    const options = { reads: c.pool ?? 50, poolWait: c.pool_wait_ms, timeout: c.timeout_ms };
    let backend;
    if (c.memory) {
      backend = new MemoryBackend(c.redis);
    } else if (c.client === "given") {
      this.given = createClient({ url: c.redis_url });
      this.given.on("error", () => {});
      await this.given.connect();
      backend = new RedisBackend(this.given, options);
    } else {
      backend = RedisBackend.fromURL(c.redis_url, options);
    }
    this.reader = new Reader(backend, {
      doorbell: c.stoker ? new Doorbell(c.stoker, c.token, { wait: c.wait_ms ?? 50 }) : undefined,
      staleFor: c.stale_ms ?? 0, loads: c.loads ?? 10, loadTimeout: c.load_timeout_ms ?? 5000,
      breakerLimit: c.failures ?? 5, breakerPause: c.pause_ms ?? 1000, warn: () => {},
    });
  }
  async load(key) {
    this.loads++;
    const name = Object.values(key).join(":");
    if (this.c.load_ms) await new Promise((resolve) => setTimeout(resolve, this.c.load_ms).unref());
    if (this.c.load_fails) throw new Error("the database is down");
    return this.c.rows[name] ?? null;
  }
  async close() {
    await this.reader.close();
    this.given?.destroy();
  }
}

// The case of one server.
class Stage {
  current = null;
  async begin(c) {
    await this.current?.close();
    this.current = null;
    if (c.redis_url === undefined) return {};
    const next = new Case(c);
    await next.open();
    this.current = next;
    return {};
  }
  change(c) {
    Object.assign(this.current.c, c);
    return {};
  }
  loads() {
    return this.current?.loads ?? 0;
  }
  product(id, tags) {
    return this.current.reader.respond(this.current.products, { id }, tags);
  }
  thing({ name, size }, tags) {
    return this.current.reader.respond(this.current.things, { name, size }, tags);
  }
}

const ofExpress = new Stage();
const app = express();
app.use(express.json());
app.post("/-/case", async (req, res) => res.json(await ofExpress.begin(req.body)));
app.post("/-/rows", (req, res) => res.json(ofExpress.change(req.body)));
app.get("/-/loads", (req, res) => res.json(ofExpress.loads()));
app.get("/products/:id", async (req, res) => {
  send(res, await ofExpress.product(req.params.id, req.headers["if-none-match"]));
});
app.get("/things/:name/:size", async (req, res) => {
  send(res, await ofExpress.thing(req.params, req.headers["if-none-match"]));
});

const ofFastify = new Stage();
const fastify = Fastify();
fastify.post("/-/case", (req) => ofFastify.begin(req.body));
fastify.post("/-/rows", async (req) => ofFastify.change(req.body));
fastify.get("/-/loads", async () => JSON.stringify(ofFastify.loads()));
fastify.get("/products/:id", async (req, reply) => {
  return sendFastify(reply, await ofFastify.product(req.params.id, req.headers["if-none-match"]));
});
fastify.get("/things/:name/:size", async (req, reply) => {
  return sendFastify(reply, await ofFastify.thing(req.params, req.headers["if-none-match"]));
});

const listener = await new Promise((resolve) => {
  const server = app.listen(0, "127.0.0.1", () => resolve(server));
});
const servers = {
  express: `http://127.0.0.1:${listener.address().port}`,
  fastify: await fastify.listen({ port: 0, host: "127.0.0.1" }),
};
console.log(JSON.stringify({ language: "node", servers }));

process.stdin.resume();
process.stdin.on("end", async () => {
  await Promise.all([ofExpress.begin({}), ofFastify.begin({})]);
  await fastify.close();
  listener.closeAllConnections();
  listener.close();
});
