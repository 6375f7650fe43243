// What both examples share: the reader, and the query of the job `product` for one key.
import pg from "pg";
import { Doorbell, Job, Reader, RedisBackend } from "./stoker-reader.js";

const { DATABASE_URL, REDIS_URL, STOKER_URL = "http://127.0.0.1:8080", STOKER_TOKEN } = process.env;

// Keep it like the query in stoker.yaml: a client must not be able to tell whether it was answered by Redis or Postgres.
const PRODUCT_SQL = `
SELECT row_to_json(q)::text AS value
FROM (SELECT id, sku, name, price, stock FROM product WHERE active) q
WHERE q.id = $1`;

// timezone makes row_to_json print timestamps as Stoker does; max is what Postgres sees of this process at most.
const postgres = new pg.Pool({ connectionString: DATABASE_URL, max: 10, options: "-c timezone=UTC" });
postgres.on("error", (err) => console.warn("postgres:", err.message)); // of a connection that nobody uses

// freshness: the job's schedule. Where Stoker follows the database, leave it out: then clients ask each time, and get
// 304 as long as nothing has changed.
export const product = new Job({
  name: "product",
  key: "product:{id}",
  freshness: 300,
  // Asked on a miss, once a key in this process. It writes nothing to Redis.
  load: async ({ id }) => (await postgres.query(PRODUCT_SQL, [id])).rows[0]?.value ?? null,
});

export const reader = new Reader(RedisBackend.fromURL(REDIS_URL), { doorbell: new Doorbell(STOKER_URL, STOKER_TOKEN) });

/** The id of a product, a bigint; undefined if it is none. 007 is 7. */
export const productID = (text) => (/^\d{1,18}$/.test(text) ? BigInt(text) : undefined);

/** Closes all, so that the process ends by itself. */
export async function close() {
  await reader.close();
  await postgres.end();
}
