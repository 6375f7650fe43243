CREATE TABLE category (
    id    int PRIMARY KEY,
    slug  text NOT NULL UNIQUE,
    name  text NOT NULL
);
CREATE TABLE product (
    id          bigint PRIMARY KEY,
    category_id int NOT NULL REFERENCES category,
    sku         text NOT NULL UNIQUE,
    name        text NOT NULL,
    price       numeric(10,2) NOT NULL,
    stock       int NOT NULL,
    tags        text[] NOT NULL,
    attributes  jsonb NOT NULL,
    active      bool NOT NULL DEFAULT true,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON product (category_id);
ALTER TABLE product REPLICA IDENTITY FULL; -- its keys come from sku and category_id, too
CREATE TABLE orders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id  bigint NOT NULL REFERENCES product,
    quantity    int NOT NULL,
    amount      numeric(12,2) NOT NULL,
    ordered_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON orders (ordered_at);

INSERT INTO category
SELECT i, 'cat-' || i, (ARRAY['Books','Garden','Kitchen','Toys','Tools','Music'])[1 + i % 6] || ' "' || i || '"'
FROM generate_series(1, 40) i;

INSERT INTO product (id, category_id, sku, name, price, stock, tags, attributes)
SELECT i, 1 + i % 40, 'SKU-' || lpad(i::text, 6, '0'),
       (ARRAY['Lamp','Chair','Kettle','Spade','Drum','Atlas','Robot'])[1 + i % 7] || ' No. ' || i,
       round((5 + (i * 7919 % 20000) / 100.0)::numeric, 2), i * 31 % 500,
       ARRAY['tag' || i % 13, CASE WHEN i % 3 = 0 THEN 'sale' ELSE 'new' END],
       jsonb_build_object('colour', (ARRAY['red','green','blue'])[1 + i % 3], 'grams', i * 17 % 4000)
FROM generate_series(1, 20000) i;

INSERT INTO orders (product_id, quantity, amount, ordered_at)
SELECT 1 + i * 104729 % 20000, 1 + i % 4, 10 + i % 90, now() - (i % 3600) * interval '1 second'
FROM generate_series(1, 20000) i;

ANALYZE;
