-- The sample table that the API and Stoker's spec read. It is filled when the volume is new.
CREATE TABLE product (
    id     bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    sku    text NOT NULL UNIQUE,
    name   text NOT NULL,
    price  numeric(10, 2) NOT NULL,
    stock  integer NOT NULL,
    active boolean NOT NULL DEFAULT true
);

INSERT INTO product (sku, name, price, stock)
SELECT 'SKU-' || i, 'Product ' || i, round((random() * 100)::numeric, 2), (random() * 1000)::integer
FROM generate_series(1, 10000) i;
