// An API node that reads what Stoker keeps warm, with Express: node express.js
import express from "express";
import { close, product, productID, reader } from "./shop.js";
import { send } from "./stoker-reader.js";

const app = express();
app.get("/products/:id", async (req, res) => {
  const id = productID(req.params.id);
  if (id === undefined) return res.status(422).json({ detail: "a product's id is a number" });
  send(res, await reader.respond(product, { id }, req.headers["if-none-match"]));
});

const server = app.listen(8000, "127.0.0.1");
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => server.close(close));
