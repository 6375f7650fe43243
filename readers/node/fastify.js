// An API node that reads what Stoker keeps warm, with Fastify: node fastify.js
import Fastify from "fastify";
import { close, product, productID, reader } from "./shop.js";
import { sendFastify } from "./stoker-reader.js";

const app = Fastify();
app.addHook("onClose", close);
app.get("/products/:id", async (req, reply) => {
  const id = productID(req.params.id);
  if (id === undefined) return reply.code(422).send({ detail: "a product's id is a number" });
  return sendFastify(reply, await reader.respond(product, { id }, req.headers["if-none-match"]));
});

await app.listen({ port: 8000, host: "127.0.0.1" });
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => app.close());
