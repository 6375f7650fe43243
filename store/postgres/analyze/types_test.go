package analyze_test

import (
	"testing"

	"github.com/stokerhq/stoker/jobs"
)

// Keys of every type, and joins of the usual kinds, are refreshed by key; what computes a key, or counts over others,
// is not.
func TestWholeOfTypesAndJoins(t *testing.T) {
	a, _ := newAnalyst(t, `
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad','ok'); CREATE DOMAIN code AS varchar(9);
CREATE TABLE "Orders" ("Id" int PRIMARY KEY, "Total" int);
CREATE TABLE k (id int PRIMARY KEY, u uuid, c citext, f char(4), m mood, n numeric(10,2), at timestamptz, d date, co code, b bool, v varchar(8), big bigint, txt text);
CREATE TABLE product (id int PRIMARY KEY, name text, category_id int, supplier_id int);
CREATE TABLE category (id int PRIMARY KEY, name text);
CREATE TABLE supplier (id int PRIMARY KEY, name text, country_id int);
CREATE TABLE country (id int PRIMARY KEY, name text);
CREATE TABLE review (id int PRIMARY KEY, product_id int, user_id int, stars int);
CREATE TABLE usr (id int PRIMARY KEY, name text);
CREATE TABLE par (id int, v int); CREATE TABLE chi () INHERITS (par);
INSERT INTO product SELECT i, 'p', i%7, i%5 FROM generate_series(1,5000) i;
INSERT INTO review SELECT i, i%5000, i%100, i%5 FROM generate_series(1,20000) i;
INSERT INTO supplier SELECT i, 's', i%3 FROM generate_series(0,5) i; INSERT INTO usr SELECT i,'u' FROM generate_series(0,100) i;
ANALYZE`)
	w := func(table string, kv ...string) jobs.Watch {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return jobs.Watch{Table: table, Key: m}
	}
	l := func(table, col, q string) jobs.Watch { return jobs.Watch{Table: table, Column: col, Keys: q} }
	for _, c := range []struct {
		q, key string
		ws     []jobs.Watch
	}{
		{`SELECT "Id" AS id, "Total" FROM "Orders"`, "k:{id}", []jobs.Watch{w(`"Orders"`, "id", "Id")}},
		{`SELECT "Id", "Total" FROM "Orders"`, "k:{Id}", []jobs.Watch{w(`"Orders"`, "Id", "Id")}},
		{`SELECT u, id FROM k`, "k:{u}", []jobs.Watch{w("k", "u", "u")}},
		{`SELECT c, id FROM k`, "k:{c}", []jobs.Watch{w("k", "c", "c")}},
		{`SELECT f, id FROM k`, "k:{f}", []jobs.Watch{w("k", "f", "f")}},
		{`SELECT m, id FROM k`, "k:{m}", []jobs.Watch{w("k", "m", "m")}},
		{`SELECT n, id FROM k`, "k:{n}", []jobs.Watch{w("k", "n", "n")}},
		{`SELECT at, id FROM k`, "k:{at}", []jobs.Watch{w("k", "at", "at")}},
		{`SELECT d, id FROM k`, "k:{d}", []jobs.Watch{w("k", "d", "d")}},
		{`SELECT co, id FROM k`, "k:{co}", []jobs.Watch{w("k", "co", "co")}},
		{`SELECT b, id FROM k`, "k:{b}", []jobs.Watch{w("k", "b", "b")}},
		{`SELECT v, id FROM k`, "k:{v}", []jobs.Watch{w("k", "v", "v")}},
		{`SELECT big, m FROM k`, "k:{big}", []jobs.Watch{w("k", "big", "big")}},
		{`SELECT u::text AS u, big::text AS big, v::text AS v FROM k`, "k:{u}:{big}:{v}",
			[]jobs.Watch{w("k", "u", "u", "big", "big", "v", "v")}},
		{`SELECT p.id, s.name, count(r.id) FROM product p JOIN supplier s ON s.id=p.supplier_id LEFT JOIN review r ON r.product_id=p.id GROUP BY p.id, s.name`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id"), w("review", "id", "product_id"),
				l("supplier", "id", `SELECT id FROM product WHERE supplier_id = ANY($1)`)}},
		{`SELECT p.id, s.name, c.name AS cn FROM product p JOIN supplier s ON s.id=p.supplier_id JOIN country c ON c.id=s.country_id`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id"),
				l("supplier", "id", `SELECT id FROM product WHERE supplier_id = ANY($1)`),
				l("country", "id", `SELECT p.id FROM product p JOIN supplier s ON s.id=p.supplier_id WHERE country_id = ANY($1)`)}},
		{`SELECT category_id, p.id, c.name FROM product p JOIN category c ON c.id=p.category_id ORDER BY 1, 2`,
			"k:{category_id}",
			[]jobs.Watch{w("product", "category_id", "category_id"), w("category", "category_id", "id")}},
		{`SELECT c.name, count(*) FROM product p JOIN category c ON c.id=p.category_id GROUP BY 1`, "k:{name}",
			[]jobs.Watch{l("product", "category_id", `SELECT name FROM category WHERE id = ANY($1)`),
				w("category", "name", "name")}},
		{`SELECT p.id,(SELECT avg(stars) FROM review r JOIN usr u ON u.id=r.user_id WHERE r.product_id=p.id AND u.name <> 'x') FROM product p`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id"), w("review", "id", "product_id"),
				l("usr", "id", `SELECT product_id AS id FROM review WHERE user_id = ANY($1)`)}},
		{`SELECT p.id, x.r FROM product p LEFT JOIN LATERAL (SELECT json_agg(json_build_object('s', r.stars, 'u', u.name) ORDER BY r.id) AS r FROM review r JOIN usr u ON u.id=r.user_id WHERE r.product_id=p.id) x ON true`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id"), w("review", "id", "product_id"),
				l("usr", "id", `SELECT product_id AS id FROM review WHERE user_id = ANY($1)`)}},
		{`WITH r AS (SELECT product_id, count(*) AS n, avg(stars) AS s FROM review GROUP BY 1) SELECT p.id, r.n, r.s FROM product p LEFT JOIN r ON r.product_id=p.id`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id"), w("review", "id", "product_id")}},
		{`SELECT id, v FROM par`, "k:{id}", []jobs.Watch{w("par", "id", "id")}},
		{`SELECT DISTINCT p.id, p.name FROM product p JOIN review r ON r.product_id=p.id`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id"), w("review", "id", "product_id")}},
		{`SELECT id, name FROM product p WHERE supplier_id IN (SELECT id FROM supplier WHERE country_id = 1)`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id"),
				l("supplier", "id", `SELECT id FROM product WHERE supplier_id = ANY($1)`)}},
		{`SELECT id, EXISTS (SELECT FROM review r WHERE r.product_id = p.id AND stars > 2) AS hot FROM product p`,
			"k:{id}",
			[]jobs.Watch{w("product", "id", "id"), w("review", "id", "product_id")}},
		{`SELECT p.id, array(SELECT stars FROM review r WHERE r.product_id = p.id) AS s FROM product p WHERE p.name <> 'x' ORDER BY p.id`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id"), w("review", "id", "product_id")}},
		{`SELECT r.product_id AS id, count(*) FILTER (WHERE stars > 3), percentile_cont(0.5) WITHIN GROUP (ORDER BY stars) FROM review r GROUP BY 1`, "k:{id}",
			[]jobs.Watch{w("review", "id", "product_id")}},
		{`SELECT id, name FROM product WHERE id > (SELECT 5)`, "k:{id}", []jobs.Watch{w("product", "id", "id")}},
		{`SELECT id, first_value(stars) OVER w, count(*) OVER w FROM review WINDOW w AS (PARTITION BY id ORDER BY stars)`, "k:{id}", []jobs.Watch{w("review", "id", "id")}},
		{`SELECT p.id FROM product p NATURAL JOIN category`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id"), w("category", "id", "id")}},
		{`SELECT id, unnest(ARRAY[name, 'x']) AS x FROM product`, "k:{id}", []jobs.Watch{w("product", "id", "id")}},
		{`SELECT id, name FROM (SELECT id, name FROM product WHERE supplier_id = 1 UNION ALL SELECT id, name FROM product WHERE supplier_id = 2) q`, "k:{id}", []jobs.Watch{w("product", "id", "id")}},
	} {
		facts := factsOf(t, a, newJob(t, c.q, c.key, c.ws...))
		if len(facts.Whole) > 0 || len(facts.Unsteady) > 0 {
			t.Errorf("%s: run whole: %v, unsteady: %v", c.q, facts.Whole, facts.Unsteady)
		}
	}
	for _, c := range []struct {
		q, key string
		ws     []jobs.Watch
	}{
		{`SELECT p.id, count(*) OVER (PARTITION BY p.supplier_id) FROM product p JOIN supplier s ON s.id=p.supplier_id`,
			"k:{id}", []jobs.Watch{w("product", "id", "id")}},
		{`WITH x AS (SELECT * FROM product) SELECT a.id, b.name FROM x a JOIN x b ON b.id = a.supplier_id`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id")}},
		{`SELECT id FROM review r WHERE stars = (SELECT max(stars) FROM review x WHERE x.product_id = r.product_id)`,
			"k:{id}", []jobs.Watch{w("review", "id", "id")}},
		{`SELECT date_trunc('day', at) AS d, count(*) FROM k GROUP BY 1`, "k:{d}", []jobs.Watch{w("k", "d", "at")}},
		{`SELECT at::date AS d, count(*) FROM k GROUP BY 1`, "k:{d}", []jobs.Watch{w("k", "d", "at")}},
		{`SELECT n::int AS n, count(*) FROM k GROUP BY 1`, "k:{n}", []jobs.Watch{w("k", "n", "n")}},
		{`SELECT b::text AS b, count(*) FROM k GROUP BY 1`, "k:{b}", []jobs.Watch{w("k", "b", "b")}},
		{`SELECT -id AS id FROM k`, "k:{id}", []jobs.Watch{w("k", "id", "id")}},
		{`SELECT coalesce(category_id, 0) AS id, count(*) FROM product GROUP BY 1`, "k:{id}",
			[]jobs.Watch{w("product", "id", "category_id")}},
		{`SELECT u.id, u.name, t.n FROM usr u CROSS JOIN LATERAL (SELECT count(*) AS n FROM review) t`, "k:{id}",
			[]jobs.Watch{w("review", "id", "user_id")}},
		{`SELECT p.id, s.n FROM product p LEFT JOIN (SELECT supplier_id, count(*) AS n FROM product GROUP BY 1 HAVING count(*) > 2) s USING (supplier_id)`, "k:{id}", []jobs.Watch{w("product", "id", "id")}},
		{`SELECT p.id, lead(p.id) OVER (ORDER BY p.id) AS next FROM product p`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id")}},
		{`SELECT id, cume_dist() OVER (PARTITION BY category_id ORDER BY id) FROM product`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id")}},
		{`SELECT id FROM product WHERE name > ALL (SELECT name FROM product x WHERE x.id < 3)`, "k:{id}",
			[]jobs.Watch{w("product", "id", "id")}},
		{`TABLE product ORDER BY name LIMIT 5`, "k:{id}", []jobs.Watch{w("product", "id", "id")}},
	} {
		facts := factsOf(t, a, newJob(t, c.q, c.key, c.ws...))
		if len(facts.Whole) == 0 {
			t.Errorf("%s: changes of it refresh keys alone", c.q)
		}
	}
}
