// Reads what Stoker keeps warm, and answers for it over HTTP.
//
//   const reader = new Reader(RedisBackend.fromURL(process.env.REDIS_URL), { doorbell: new Doorbell(url, token) });
//   const product = new Job({ name: "product", key: "product:{id}", freshness: 300, load: loadProduct });
//   send(res, await reader.respond(product, { id: 42 }, req.headers["if-none-match"]));
//
// A read has one of four outcomes: the value was in Redis (hit); it was not, and was loaded (cold); it was not, and
// there is no row (absent); or Redis, or on a miss all who could load it, did not answer (down). Nothing here writes a
// key: a reader cannot know whether a newer value was written since its query began. Only Stoker can.

import { createHash } from "node:crypto";
import { createClient, RESP_TYPES } from "redis";

/**
 * @typedef {"hit" | "cold" | "absent" | "down"} Outcome
 * @typedef {"redis" | "doorbell" | "load" | "stale" | ""} Source where the bytes come from; "": there are none
 * @typedef {{ outcome: Outcome, source: Source, body: Buffer | null }} Answer
 * @typedef {Record<string, string | number | bigint>} Key values of a job's key columns, as Postgres prints them
 * @typedef {{ get(key: string): Promise<Buffer | string | null>, close(): Promise<void> }} Backend it cannot write
 */

/** A job of stoker.yaml, as far as a reader must know it. */
export class Job {
  /**
   * @param {object} job
   * @param {string} job.name
   * @param {string} job.key its key template
   * @param {number} [job.freshness] For how many seconds a client may keep the answer: the job's schedule, or its
   *   objective. 0: it must ask again each time, which an ETag makes cheap. Never the TTL in Redis, which says how
   *   long an old value is better than none.
   * @param {(key: Key) => Promise<Buffer | string | null>} [job.load] the job's query for one key, null without a row;
   *   it must not write the key. Without it only Stoker loads.
   * @param {string} [job.mediaType]
   */
  constructor({ name, key, freshness = 0, load, mediaType = "application/json" }) {
    Object.assign(this, { name, key, freshness, load, mediaType });
  }

  /** The key in Redis. @param {Key} values */
  keyOf(values) {
    return this.key.replace(/\{\{|\}\}|\{([^{}]+)\}/g, (text, column) => {
      if (column === undefined) return text[0];
      return asText(values[column]);
    });
  }
}

function asText(value) {
  if (!["string", "number", "bigint"].includes(typeof value)) {
    throw new TypeError(`a key column is ${value}: give it as text, as Postgres prints it`);
  }
  return String(value);
}

/** A strong ETag: equal bytes have the same in every process and every language. @param {Buffer} body */
export function etag(body) {
  return `"${createHash("sha256").update(body).digest("hex").slice(0, 32)}"`;
}

/** Whether an If-None-Match names the tag. It compares weakly, as RFC 9110 says: a proxy may have added W/. */
export function matches(ifNoneMatch, tag) {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === "*") return true;
  return [...ifNoneMatch.matchAll(/(?:W\/)?("[^"]*")/g)].some((match) => match[1] === tag);
}

/** Values of an object, for tests and for development without a Redis. */
export class MemoryBackend {
  constructor(values = {}) {
    this.values = new Map(Object.entries(values));
  }
  async get(key) {
    return this.values.get(key) ?? null;
  }
  async close() {}
}

/** At most size at once; who waits longer than wait milliseconds for a place gets an error. */
class Places {
  #queue = [];
  constructor(size, wait, what) {
    Object.assign(this, { free: size, wait, what });
  }
  async run(work) {
    if (this.free > 0) {
      this.free--;
    } else {
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          this.#queue.splice(this.#queue.indexOf(resolve), 1);
          reject(new Error(`no ${this.what} was free within ${this.wait} ms`));
        }, this.wait);
        this.#queue.push(Object.assign(resolve, { timer }));
      });
    }
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.free++;
      else (clearTimeout(next.timer), next());
    }
  }
}

function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Values in Redis. The client may return strings or Buffers. Who has made the client closes it. */
export class RedisBackend {
  #client;
  #places;
  #timeout;
  #own = false;
  #ready;
  #read;

  /** @param {number} [o.reads] at once; a request waits poolWait ms for its turn, and timeout ms for an answer */
  constructor(client, { reads = 50, poolWait = 500, timeout = 500 } = {}) {
    this.#client = client;
    // Bytes as they are: a string would have lost what is not UTF-8.
    this.#read = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    this.#places = new Places(reads, poolWait, "turn to read from Redis");
    this.#timeout = timeout;
  }

  /** A client of its own: one connection, on which reads follow each other without waiting. */
  static fromURL(url, { timeout = 500, ...options } = {}) {
    const client = createClient({
      url,
      disableOfflineQueue: true, // a Redis that is away is an answer, and not a reason to wait
      pingInterval: 1000, // keeps socketTimeout from ending a connection that is merely idle
      socket: { connectTimeout: timeout, socketTimeout: 5000, reconnectStrategy: (n) => Math.min(50 * 2 ** n, 1000) },
    });
    client.on("error", () => {}); // each read that fails says so
    const backend = new RedisBackend(client, { timeout, ...options });
    backend.#own = true;
    return backend;
  }

  async get(key) {
    return this.#places.run(async () => {
      if (this.#own && !this.#client.isOpen) this.#ready = this.#connect();
      return within(this.#timeout, Promise.resolve(this.#ready).then(() => this.#read.get(key)), "Redis");
    });
  }

  /** Waits until the connection is there or has failed once. The client goes on trying, and says that it is offline. */
  async #connect() {
    const failed = new Promise((_, reject) => this.#client.once("error", reject));
    await Promise.race([this.#client.connect(), failed]).finally(() => (this.#ready = null));
  }

  async close() {
    if (this.#own && this.#client.isOpen) this.#client.destroy();
  }
}

/** Asks Stoker to load a key that was missed: one query, however many processes ring. Waits at most wait ms. */
export class Doorbell {
  constructor(url, token = "", { wait = 50 } = {}) {
    Object.assign(this, { url: url.replace(/\/+$/, ""), wait });
    this.headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  }

  /** loaded, absent or withheld; null: no answer in time. */
  async ring(job, key) {
    const texts = Object.fromEntries(Object.entries(key).map(([column, value]) => [column, asText(value)]));
    const signal = AbortSignal.timeout(this.wait);
    try {
      const response = await fetch(`${this.url}/api/v1/jobs/${job.name}/refresh`, {
        method: "POST", headers: this.headers, body: JSON.stringify({ key: texts }), signal,
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${response.status}: ${text.slice(0, 200)}`);
      return JSON.parse(text).state;
    } catch (err) {
      if (signal.aborted) return null;
      throw err;
    }
  }
}

/** Spares a server that is down: after limit failures in a row nobody asks it for pause ms, and then one does. */
class Breaker {
  failures = 0;
  until = 0;
  constructor(limit, pause) {
    Object.assign(this, { limit, pause });
  }
  allows() {
    if (this.failures < this.limit) return true;
    if (performance.now() < this.until) return false;
    this.until = performance.now() + this.pause;
    return true;
  }
  note(ok) {
    this.failures = ok ? 0 : this.failures + 1;
    if (this.failures >= this.limit) this.until = performance.now() + this.pause;
  }
}

/** The last answers, the newest up to a size, for while nobody can be asked. */
class Copies {
  #copies = new Map(); // the oldest first
  #used = 0;
  constructor(bound, size) {
    Object.assign(this, { bound, size });
  }
  keep(key, body) {
    this.drop(key);
    if (this.bound <= 0 || body.length > this.size) return;
    this.#copies.set(key, { at: performance.now(), body });
    this.#used += body.length;
    while (this.#used > this.size) this.drop(this.#copies.keys().next().value);
  }
  drop(key) {
    this.#used -= this.#copies.get(key)?.body.length ?? 0;
    this.#copies.delete(key);
  }
  get(key) {
    const copy = this.#copies.get(key);
    return copy && performance.now() - copy.at <= this.bound ? copy.body : null;
  }
}

class DownError extends Error {}

const toBuffer = (value) => (typeof value === "string" ? Buffer.from(value) : (value ?? null));

/** Reads keys; one a process. close() it when the application ends. */
export class Reader {
  #backend;
  #doorbell;
  #options;
  #flights = new Map();
  #copies;
  #loads;
  #redisUp;
  #stokerUp;
  #loadUp;

  /**
   * @param {Backend} backend close() closes it
   * @param {object} [o]
   * @param {Doorbell} [o.doorbell]
   * @param {number} [o.staleFor] how old, in ms, a copy may be that is sent while nobody can be asked; 0: none is
   * @param {number} [o.staleSize] bytes of all copies
   * @param {number} [o.loads] at once in this process
   * @param {(message: string, err: unknown) => void} [o.warn]
   */
  constructor(backend, { doorbell, staleFor = 30_000, staleSize = 16 << 20, loads = 10, loadTimeout = 5000,
    breakerLimit = 5, breakerPause = 1000, warn = (message, err) => console.warn(message, String(err)) } = {}) {
    this.#backend = backend;
    this.#doorbell = doorbell;
    this.#options = { loadTimeout, warn };
    this.#copies = new Copies(staleFor, staleSize);
    this.#loads = new Places(loads, loadTimeout, "place for a load");
    [this.#redisUp, this.#stokerUp, this.#loadUp] = [1, 2, 3].map(() => new Breaker(breakerLimit, breakerPause));
  }

  /** Waits for loads that are under way, which time-outs bound, and closes the back end. */
  async close() {
    await Promise.allSettled([...this.#flights.values()].map((flight) => flight.answer));
    await this.#backend.close();
  }

  /** @returns {Promise<Answer>} */
  async read(job, key) {
    const name = job.keyOf(key);
    const begun = performance.now();
    let body = null;
    let down = false;
    try {
      body = await this.#get(name);
    } catch (err) {
      if (!(err instanceof DownError)) throw err;
      down = true;
    }
    if (body !== null) {
      this.#copies.keep(name, body);
      return { outcome: "hit", source: "redis", body };
    }
    let flight = this.#flights.get(name);
    if (flight === undefined || flight.landed < begun) { // what has ended since then is as good as what is under way
      flight = { landed: Infinity, answer: this.#missed(job, key, name, down).finally(() => this.#land(name, flight)) };
      this.#flights.set(name, flight);
    }
    return flight.answer;
  }

  /** Keeps a flight that has ended for a while, for requests that began before. */
  #land(name, flight) {
    flight.landed = performance.now();
    setTimeout(() => this.#flights.get(name) === flight && this.#flights.delete(name), 5000).unref();
  }

  async #get(name) {
    if (!this.#redisUp.allows()) throw new DownError();
    try {
      const value = await this.#backend.get(name);
      this.#redisUp.note(true);
      return toBuffer(value);
    } catch (err) {
      this.#redisUp.note(false);
      this.#options.warn("redis did not answer:", err);
      throw new DownError();
    }
  }

  /** What one of those does who have missed a key, for all of them. */
  async #missed(job, key, name, down) {
    const state = down ? null : await this.#ring(job, key);
    if (state === "loaded") {
      const body = await this.#get(name).catch(() => ((down = true), null));
      if (body !== null) {
        this.#copies.keep(name, body);
        return { outcome: "cold", source: "doorbell", body };
      }
    }
    if (state !== "absent") {
      let body;
      try {
        body = await this.#load(job, key);
      } catch (err) {
        if (!(err instanceof DownError)) throw err;
        const copy = this.#copies.get(name);
        return { outcome: "down", source: copy === null ? "" : "stale", body: copy };
      }
      if (body !== null) {
        this.#copies.keep(name, body);
        return { outcome: down ? "down" : "cold", source: "load", body };
      }
    }
    this.#copies.drop(name);
    return { outcome: "absent", source: "", body: null };
  }

  async #ring(job, key) {
    if (this.#doorbell === undefined || !this.#stokerUp.allows()) return null;
    try {
      const state = await this.#doorbell.ring(job, key);
      if (state !== null) this.#stokerUp.note(true); // null: Stoker goes on, and the next reader finds the key
      return state;
    } catch (err) {
      this.#stokerUp.note(false);
      this.#options.warn(`stoker did not load a key of ${job.name}:`, err.cause ?? err);
      return null;
    }
  }

  async #load(job, key) {
    if (job.load === undefined || !this.#loadUp.allows()) throw new DownError();
    try {
      const { loadTimeout } = this.#options;
      const body = await this.#loads.run(() => within(loadTimeout, job.load(key), "the load"));
      this.#loadUp.note(true);
      return toBuffer(body);
    } catch (err) {
      this.#loadUp.note(false);
      this.#options.warn(`a key of ${job.name} was not loaded:`, err);
      throw new DownError();
    }
  }

  /** Reads a key and makes the answer to a GET for it: { status, headers, body }. */
  async respond(job, key, ifNoneMatch) {
    return response(job, await this.read(job, key), ifNoneMatch);
  }
}

/** The HTTP answer: the bytes as they are, never parsed and printed again. @param {Answer} answer */
export function response(job, { outcome, source, body }, ifNoneMatch) {
  const detail = source === "" ? outcome : `${outcome}/${source}`;
  const headers = {
    "cache-status": outcome === "hit" ? "stoker; hit" : `stoker; fwd=uri-miss; detail=${detail}`,
    "cache-control": "no-store",
  };
  if (body === null) {
    headers["content-type"] = "application/json";
    if (outcome === "absent") return { status: 404, headers, body: Buffer.from('{"detail":"not found"}') };
    headers["retry-after"] = "1";
    return { status: 503, headers, body: Buffer.from('{"detail":"temporarily unavailable"}') };
  }
  const coding = { "1f8b": "gzip", "28b5": "zstd" }[body.subarray(0, 2).toString("hex")]; // the job has `compress`
  if (coding) Object.assign(headers, { "content-encoding": coding, vary: "Accept-Encoding" });
  headers.etag = etag(body);
  if (source !== "stale") {
    headers["cache-control"] = job.freshness >= 1 ? `max-age=${Math.floor(job.freshness)}` : "no-cache";
  }
  if (matches(ifNoneMatch, headers.etag)) return { status: 304, headers, body: null };
  return { status: 200, headers: { ...headers, "content-type": job.mediaType }, body };
}

/** Sends an answer by a ServerResponse, as Express has it: it adds nothing of its own, as another ETag. */
export function send(res, { status, headers, body }) {
  res.writeHead(status, { ...headers, ...(body && { "content-length": body.length }) });
  res.end(body ?? undefined);
}

/** Sends an answer by Fastify. @returns its reply */
export function sendFastify(reply, { status, headers, body }) {
  return reply.code(status).headers(headers).send(body ?? undefined);
}
