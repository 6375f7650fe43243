-- A film rental with the names and shapes of the well-known Pagila sample; all rows are made up.
CREATE SCHEMA rentals;
CREATE TYPE rentals.mpaa_rating AS ENUM ('G', 'PG', 'PG-13', 'R', 'NC-17');
CREATE TABLE rentals.language (language_id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE rentals.film (film_id int PRIMARY KEY, title text NOT NULL, description text, release_year int,
  language_id int NOT NULL REFERENCES rentals.language, rental_rate numeric(4,2) NOT NULL, length int,
  rating rentals.mpaa_rating, active boolean NOT NULL DEFAULT true);
CREATE TABLE rentals.actor (actor_id int PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL);
CREATE TABLE rentals.film_actor (actor_id int REFERENCES rentals.actor, film_id int REFERENCES rentals.film,
  PRIMARY KEY (actor_id, film_id));
CREATE TABLE rentals.category (category_id int PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE rentals.film_category (film_id int REFERENCES rentals.film, category_id int REFERENCES rentals.category,
  PRIMARY KEY (film_id, category_id));
CREATE TABLE rentals.customer (customer_id int PRIMARY KEY, store_id int NOT NULL, email text, active boolean NOT NULL);
CREATE TABLE rentals.inventory (inventory_id int PRIMARY KEY, film_id int NOT NULL REFERENCES rentals.film,
  store_id int NOT NULL);
CREATE TABLE rentals.rental (rental_id int PRIMARY KEY, inventory_id int NOT NULL REFERENCES rentals.inventory,
  customer_id int NOT NULL REFERENCES rentals.customer, rental_date timestamptz NOT NULL, return_date timestamptz);
INSERT INTO rentals.language SELECT i, 'Language ' || i FROM generate_series(1, 6) i;
INSERT INTO rentals.film SELECT i, 'Film ' || i, 'Of ' || i, 2006, 1 + i % 6, 2.99, 60 + i % 120,
  (enum_range(NULL::rentals.mpaa_rating))[1 + i % 5], i % 11 > 0 FROM generate_series(1, 1000) i;
INSERT INTO rentals.actor SELECT i, 'First' || i, 'Last' || i FROM generate_series(1, 200) i;
INSERT INTO rentals.film_actor SELECT 1 + i % 200, 1 + i * 7 % 1000 FROM generate_series(1, 3000) i ON CONFLICT DO NOTHING;
INSERT INTO rentals.category SELECT i, 'Category ' || i FROM generate_series(1, 16) i;
INSERT INTO rentals.film_category SELECT i, 1 + i % 16 FROM generate_series(1, 1000) i;
INSERT INTO rentals.customer SELECT i, 1 + i % 2, 'Person.' || i || '@Example.org', i % 20 > 0
  FROM generate_series(1, 300) i;
INSERT INTO rentals.inventory SELECT i, 1 + i % 1000, 1 + i % 2 FROM generate_series(1, 2000) i;
INSERT INTO rentals.rental SELECT i, 1 + i % 2000, 1 + i % 300, '2024-01-01'::timestamptz + i * interval '20 minutes',
  CASE WHEN i % 9 > 0 THEN '2024-02-01'::timestamptz + i * interval '20 minutes' END FROM generate_series(1, 5000) i;
CREATE INDEX ON rentals.rental (customer_id);
CREATE INDEX ON rentals.inventory (film_id);
ANALYZE;
