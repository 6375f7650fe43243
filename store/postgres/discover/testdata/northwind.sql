-- A food trader with the names and shapes of the well-known Northwind sample; all rows are made up.
CREATE TABLE categories (category_id smallint PRIMARY KEY, category_name varchar(15) NOT NULL, description text);
CREATE TABLE suppliers (supplier_id smallint PRIMARY KEY, company_name varchar(40) NOT NULL, country varchar(15));
CREATE TABLE products (product_id smallint PRIMARY KEY, product_name varchar(40) NOT NULL,
  supplier_id smallint REFERENCES suppliers, category_id smallint REFERENCES categories, unit_price real,
  units_in_stock smallint, discontinued integer NOT NULL, deleted_at timestamptz);
CREATE TABLE customers (customer_id varchar(5) PRIMARY KEY, company_name varchar(40) NOT NULL, city varchar(15));
CREATE TABLE employees (employee_id smallint PRIMARY KEY, last_name varchar(20) NOT NULL, reports_to smallint);
CREATE TABLE orders (order_id int PRIMARY KEY, customer_id varchar(5) REFERENCES customers,
  employee_id smallint REFERENCES employees, order_date date, freight real);
CREATE TABLE order_details (order_id int REFERENCES orders, product_id smallint REFERENCES products,
  unit_price real NOT NULL, quantity smallint NOT NULL, PRIMARY KEY (order_id, product_id));
INSERT INTO categories SELECT i, 'Category ' || i, 'About ' || i FROM generate_series(1, 8) i;
INSERT INTO suppliers SELECT i, 'Supplier ' || i, 'Land ' || i % 5 FROM generate_series(1, 29) i;
INSERT INTO products SELECT i, 'Product ' || i, 1 + i % 29, 1 + i % 8, i, i % 40, (i % 10 = 0)::int,
  CASE WHEN i % 7 = 0 THEN '2024-01-01'::timestamptz END FROM generate_series(1, 400) i;
INSERT INTO customers SELECT 'C' || lpad(i::text, 4, '0'), 'Company ' || i, 'City ' || i % 12
  FROM generate_series(1, 90) i;
INSERT INTO employees SELECT i, 'Name ' || i, NULLIF(i / 3, 0) FROM generate_series(1, 9) i;
INSERT INTO orders SELECT i, 'C' || lpad((1 + i % 90)::text, 4, '0'), 1 + i % 9, '2024-01-01'::date + i % 365, i % 50
  FROM generate_series(1, 830) i;
INSERT INTO order_details SELECT 1 + i % 830, 1 + (i * 13) % 400, 5, 1 + i % 9 FROM generate_series(1, 2100) i
  ON CONFLICT DO NOTHING;
CREATE INDEX ON products (category_id);
CREATE INDEX ON orders (customer_id);
ANALYZE;
