-- A product as a shop has it: text that needs escaping now and then, an array,
-- and attributes that are JSON already. Every value follows from the id, so that
-- each run of the benchmark measures the same data.
CREATE TABLE product (
    id         bigint PRIMARY KEY,
    sku        text NOT NULL,
    name       text NOT NULL,
    price      numeric(10,2) NOT NULL,
    stock      int NOT NULL,
    tags       text[] NOT NULL,
    updated_at timestamptz NOT NULL,
    active     bool NOT NULL,
    attributes jsonb NOT NULL
);

INSERT INTO product
SELECT i,
       'SKU-' || lpad((i * 7919 % 1000000000)::text, 9, '0'),
       (ARRAY['Desk lamp', 'Garden chair', 'Wall clock', 'Travel mug', 'Café table', 'Bücherregal', 'Rain jacket'])[1 + i % 7]
           || CASE WHEN i % 10 = 0 THEN ' "Nova"' WHEN i % 10 = 5 THEN ' 12\24 cm' ELSE ' ' || chr((65 + i % 26)::int) || '-line' END
           || ', model ' || i % 1000,
       round((i * 37 % 99900)::numeric / 100 + 1, 2),
       (i * 31 % 500)::int,
       ARRAY['warm', (ARRAY['indoor', 'outdoor', 'kitchen', 'office'])[1 + i % 4]] || CASE WHEN i % 3 = 0 THEN ARRAY['sale'] ELSE ARRAY[]::text[] END,
       timestamptz '2026-01-01 00:00:00+00' + i * interval '61.234567 seconds',
       i % 20 <> 0,
       jsonb_build_object('brand', 'Brand ' || i % 300, 'colour', (ARRAY['red', 'green', 'blue'])[1 + i % 3],
           'weight_g', 50 + i % 5000, 'warranty', i % 6 + 1 || ' years', 'rating', round((i % 50)::numeric / 10, 1))
FROM generate_series(1, :rows::bigint) i;
