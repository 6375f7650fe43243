package analyze_test

import "github.com/stokerhq/stoker/jobs"

// league is the tables that the shapes read. Values are few, so that changes meet.
var league = []string{`
CREATE TABLE team (id int PRIMARY KEY, name text NOT NULL, region text NOT NULL);
CREATE TABLE player (id int PRIMARY KEY, team_id int, pts int, name varchar(20) NOT NULL, boss int);
CREATE TABLE score (id int PRIMARY KEY, player_id bigint, n int);
CREATE TABLE banned (id int PRIMARY KEY, player_id int);
CREATE TABLE game (shop int, line int, player_id int, n int, PRIMARY KEY (shop, line)) PARTITION BY HASH (shop);
CREATE TABLE game_0 PARTITION OF game FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE game_1 PARTITION OF game FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE VIEW ranked AS SELECT id, rank() OVER (ORDER BY pts DESC) AS place FROM player;
CREATE VIEW roster AS SELECT p.id, p.name, t.name AS team FROM player p LEFT JOIN team t ON t.id = p.team_id;
CREATE FUNCTION total(p int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT sum(n) FROM score WHERE player_id = p';
CREATE FUNCTION leader() RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT max(pts) FROM player); END $$;
CREATE FUNCTION mates(p int) RETURNS SETOF player LANGUAGE sql STABLE AS 'SELECT * FROM player WHERE id = p';
INSERT INTO team SELECT i, 'team ' || i % 3, 'r' || i % 2 FROM generate_series(0, 4) i;
INSERT INTO player SELECT i, i % 6, i * 7 % 10, 'p' || i % 9, i % 4 FROM generate_series(0, 11) i;
INSERT INTO score SELECT i, i % 14, i * 5 % 8 FROM generate_series(0, 29) i;
INSERT INTO banned SELECT i, i * 3 FROM generate_series(0, 2) i;
INSERT INTO game SELECT i % 4, i, i % 12, i % 5 FROM generate_series(0, 19) i;
ANALYZE`}

// Ways in which a changed row names keys.
var (
	byID     = jobs.Watch{Table: "player", Key: map[string]string{"id": "id"}}
	byScore  = jobs.Watch{Table: "score", Key: map[string]string{"id": "player_id"}}
	byBanned = jobs.Watch{Table: "banned", Key: map[string]string{"id": "player_id"}}
	byTeam   = jobs.Watch{Table: "team", Column: "id", Keys: "SELECT id FROM player WHERE team_id = ANY($1)"}
	byBoss   = jobs.Watch{Table: "player", Column: "id", Keys: "SELECT id FROM player WHERE boss = ANY($1)"}
	byMate   = jobs.Watch{Table: "player", Column: "team_id", Keys: "SELECT id FROM player WHERE team_id = ANY($1)"}
	byGame   = jobs.Watch{Table: "game", Key: map[string]string{"shop": "shop", "line": "line"}}
	ofGame   = jobs.Watch{Table: "player", Column: "id",
		Keys: "SELECT shop, line FROM game WHERE player_id = ANY($1)"}
)

// shape is a query, and which of its watch entries cannot name all the keys that a row matters to.
type shape struct {
	name, query, key string
	watch            []jobs.Watch
	whole            []bool // of each entry
	careful          bool   // keyed refreshes would do: the plan does not show it
}

const yes, no = true, false

var shapes = []shape{
	{"one table", "SELECT * FROM player", "k:{id}", []jobs.Watch{byID}, []bool{no}, false},
	{"where", "SELECT * FROM player WHERE pts > 3 ORDER BY name", "k:{id}", []jobs.Watch{byID}, []bool{no}, false},
	{"join by key", "SELECT p.id, s.n FROM player p JOIN score s ON s.player_id = p.id", "k:{id}",
		[]jobs.Watch{byID, byScore}, []bool{no, no}, false},
	{"outer join by key", "SELECT p.id, s.n FROM player p LEFT JOIN score s ON s.player_id = p.id", "k:{id}",
		[]jobs.Watch{byID, byScore}, []bool{no, no}, false},
	{"full join by key", "SELECT id, p.pts, b.player_id FROM player p FULL JOIN banned b USING (id)", "k:{id}",
		[]jobs.Watch{byID, {Table: "banned", Key: map[string]string{"id": "id"}}}, []bool{no, no}, false},
	{"join by another column", "SELECT p.id, t.name FROM player p JOIN team t ON t.id = p.team_id", "k:{id}",
		[]jobs.Watch{byID, byTeam}, []bool{no, no}, false},
	{"outer join by another column", "SELECT p.id, t.name FROM player p LEFT JOIN team t ON t.id = p.team_id", "k:{id}",
		[]jobs.Watch{byID, byTeam}, []bool{no, no}, false},
	{"view with a join", "SELECT * FROM roster", "k:{id}", []jobs.Watch{byID, byTeam}, []bool{no, no}, false},
	{"group by key", "SELECT player_id AS id, sum(n), count(*) FROM score GROUP BY 1 HAVING sum(n) > 3", "k:{id}",
		[]jobs.Watch{byScore}, []bool{no}, false},
	{`sub-select of the key`, "SELECT id, (SELECT sum(n) FROM score s WHERE s.player_id = p.id) FROM player p",
		"k:{id}",
		[]jobs.Watch{byID, byScore}, []bool{no, no}, false},
	{"join with groups", "SELECT p.id, s.total FROM player p LEFT JOIN (SELECT player_id, sum(n) AS total FROM score " +
		"GROUP BY 1) s ON s.player_id = p.id", "k:{id}", []jobs.Watch{byID, byScore}, []bool{no, no}, false},
	{"join with groups by another column", "SELECT p.id, s.c FROM player p JOIN (SELECT team_id, count(*) AS c FROM " +
		"player GROUP BY 1) s ON s.team_id = p.team_id", "k:{id}", []jobs.Watch{byID, byMate}, []bool{no, no}, false},
	{"exists", `SELECT id FROM player p WHERE EXISTS (SELECT FROM score s WHERE s.player_id = p.id AND n > 4)`,
		"k:{id}",
		[]jobs.Watch{byID, byScore}, []bool{no, no}, false},
	{"not exists", "SELECT id FROM player p WHERE NOT EXISTS (SELECT FROM banned b WHERE b.player_id = p.id)", "k:{id}",
		[]jobs.Watch{byID, byBanned}, []bool{no, no}, false},
	{"in", "SELECT id FROM player WHERE id IN (SELECT player_id FROM banned)", "k:{id}",
		[]jobs.Watch{byID, byBanned}, []bool{no, no}, false},
	{"lateral", `SELECT p.id, s.n FROM player p, LATERAL (SELECT n FROM score s WHERE s.player_id = p.id ORDER BY n DESC, id LIMIT 2) s`,
		"k:{id}", []jobs.Watch{byID, byScore}, []bool{no, no}, false},
	{"window within the key", "SELECT player_id AS id, n, rank() OVER (PARTITION BY player_id ORDER BY n) FROM score",
		"k:{id}", []jobs.Watch{byScore}, []bool{no}, false},
	{`distinct on the key`, "SELECT DISTINCT ON (player_id) player_id AS id, n FROM score ORDER BY player_id, n " +
		"DESC, id",
		"k:{id}", []jobs.Watch{byScore}, []bool{no}, false},
	{"union", "SELECT id, pts FROM player UNION SELECT player_id, 1 FROM banned", "k:{id}",
		[]jobs.Watch{byID, byBanned}, []bool{no, no}, false},
	{`union all`, "SELECT id, pts FROM player UNION ALL SELECT player_id::int, n FROM score WHERE player_id > 2",
		"k:{id}",
		[]jobs.Watch{byID, byScore}, []bool{no, no}, false},
	{"intersect", "SELECT id FROM player INTERSECT SELECT player_id FROM banned", "k:{id}",
		[]jobs.Watch{byID, byBanned}, []bool{no, no}, false},
	{"with, used once", "WITH top AS (SELECT * FROM player WHERE pts > 2) SELECT id, pts FROM top", "k:{id}",
		[]jobs.Watch{byID}, []bool{no}, false},
	{"as text", "SELECT id::text AS id, pts FROM player", "k:{id}", []jobs.Watch{byID}, []bool{no}, false},
	{"by name", "SELECT name, sum(pts) FROM player GROUP BY name", "k:{name}",
		[]jobs.Watch{{Table: "player", Key: map[string]string{"name": "name"}}}, []bool{no}, false},
	{"two columns", "SELECT shop, line, n FROM game", "k:{shop}:{line}", []jobs.Watch{byGame}, []bool{no}, false},
	{"two columns and a join", "SELECT g.shop, g.line, p.name FROM game g LEFT JOIN player p ON p.id = g.player_id",
		"k:{shop}:{line}", []jobs.Watch{byGame, ofGame}, []bool{no, no}, false},
	{"partitions", "SELECT shop, sum(n), (SELECT max(pts) FROM player p WHERE p.id = g.shop) FROM game g GROUP BY shop",
		"k:{shop}", []jobs.Watch{{Table: "game", Key: map[string]string{"shop": "shop"}},
			{Table: "player", Key: map[string]string{"shop": "id"}}}, []bool{no, no}, false},
	{"the boss, watched", "SELECT p.id, b.name FROM player p LEFT JOIN player b ON b.id = p.boss", "k:{id}",
		[]jobs.Watch{byID, byBoss}, []bool{no, no}, false},
	{`a function put in place`, "SELECT p.id, m.pts FROM player p, mates(p.id) m", "k:{id}", []jobs.Watch{byID},
		[]bool{no}, false},
	{`the one key`, "SELECT id FROM player ORDER BY pts DESC, id LIMIT 3", "k",
		[]jobs.Watch{{Table: "player", Column: "id",
			Keys: "SELECT 1 WHERE $1::int[] IS NOT NULL"}}, []bool{no}, false},

	{"rank", `SELECT id, rank() OVER (ORDER BY pts DESC) FROM player`, "k:{id}", []jobs.Watch{byID}, []bool{yes},
		false},
	{"rank in a view", "SELECT * FROM ranked", "k:{id}", []jobs.Watch{byID}, []bool{yes}, false},
	{`row_number`, "SELECT id, row_number() OVER (ORDER BY pts, id) FROM player", "k:{id}", []jobs.Watch{byID},
		[]bool{yes}, false},
	{`percent_rank`, "SELECT id, percent_rank() OVER (ORDER BY pts) FROM player", "k:{id}", []jobs.Watch{byID},
		[]bool{yes}, false},
	{"ntile", `SELECT id, ntile(3) OVER (ORDER BY pts, id) FROM player`, "k:{id}", []jobs.Watch{byID}, []bool{yes},
		false},
	{"lag", `SELECT id, lag(name) OVER (ORDER BY pts, id) FROM player`, "k:{id}", []jobs.Watch{byID}, []bool{yes},
		false},
	{`sum over all`, "SELECT id, pts - avg(pts) OVER () AS d FROM player", "k:{id}", []jobs.Watch{byID}, []bool{yes},
		false},
	{"window within the team", "SELECT id, rank() OVER (PARTITION BY team_id ORDER BY pts) FROM player", "k:{id}",
		[]jobs.Watch{byID}, []bool{yes}, false},
	{"top n", `SELECT id, pts FROM player ORDER BY pts DESC, id LIMIT 4`, "k:{id}", []jobs.Watch{byID}, []bool{yes},
		false},
	{`limit without order`, "SELECT id, pts FROM player WHERE pts > 2 LIMIT 4", "k:{id}", []jobs.Watch{byID},
		[]bool{yes}, false},
	{"offset", `SELECT id, pts FROM player ORDER BY pts DESC, id OFFSET 4`, "k:{id}", []jobs.Watch{byID}, []bool{yes},
		false},
	{`with ties`, "SELECT id, pts FROM player ORDER BY pts DESC FETCH FIRST 3 ROWS WITH TIES", "k:{id}",
		[]jobs.Watch{byID},
		[]bool{yes}, false},
	{`top n in a join`, "SELECT t.id, s.n FROM (SELECT id FROM player ORDER BY pts DESC, id LIMIT 4) t JOIN score " +
		"s ON s.player_id = t.id",
		"k:{id}", []jobs.Watch{byID, byScore}, []bool{yes, no}, false},
	{`distinct on another column`, "SELECT DISTINCT ON (team_id) id, team_id FROM player ORDER BY team_id, pts " +
		"DESC, id",
		"k:{id}", []jobs.Watch{byID}, []bool{yes}, false},
	{`sub-select over all`, "SELECT id, pts::numeric / (SELECT 1 + sum(pts) FROM player) AS share FROM player",
		"k:{id}",
		[]jobs.Watch{byID}, []bool{yes}, false},
	{`sub-select of the team`, "SELECT id, (SELECT count(*) FROM player m WHERE m.team_id = p.team_id) FROM player p",
		"k:{id}",
		[]jobs.Watch{byID}, []bool{yes}, false},
	{"exists in others", "SELECT id, EXISTS (SELECT FROM player b WHERE b.boss = p.id) FROM player p", "k:{id}",
		[]jobs.Watch{byID}, []bool{yes}, false},
	{"self join", "SELECT p.id, b.name FROM player p LEFT JOIN player b ON b.id = p.boss", "k:{id}", []jobs.Watch{byID},
		[]bool{yes}, false},
	{"cross join with a sum", "SELECT p.id, s.t FROM player p, (SELECT sum(n) AS t FROM score) s", "k:{id}",
		[]jobs.Watch{byID, byScore}, []bool{no, yes}, false},
	{"not in, with nulls", "SELECT id FROM player WHERE id NOT IN (SELECT player_id FROM banned)", "k:{id}",
		[]jobs.Watch{byID, byBanned}, []bool{no, yes}, false},
	{`recursive`, "WITH RECURSIVE up AS (SELECT id, boss, 0 AS d FROM player UNION ALL SELECT up.id, p.boss, d + 1 " +
		"FROM up " +
		`JOIN player p ON p.id = up.boss WHERE d < 3) SELECT id, max(boss) AS top FROM up GROUP BY id`, "k:{id}",
		[]jobs.Watch{byID}, []bool{yes}, false},
	{"computed key", "SELECT pts % 3 AS id, count(*) FROM player GROUP BY 1", "k:{id}",
		[]jobs.Watch{{Table: "player", Key: map[string]string{"id": "pts"}}}, []bool{yes}, false},
	{"folded key", "SELECT upper(name) AS name, sum(pts) FROM player GROUP BY 1", "k:{name}",
		[]jobs.Watch{{Table: "player", Key: map[string]string{"name": "name"}}}, []bool{yes}, false},
	{`key of another column`, "SELECT team_id AS id, sum(pts) FROM player GROUP BY 1", "k:{id}", []jobs.Watch{byID},
		[]bool{yes}, false},
	{"constant key", "SELECT 1 AS id, sum(pts) FROM player", "k:{id}", []jobs.Watch{byID}, []bool{yes}, false},
	{"grouping sets", "SELECT coalesce(team_id, -1) AS id, sum(pts) FROM player GROUP BY ROLLUP (team_id)", "k:{id}",
		[]jobs.Watch{{Table: "player", Key: map[string]string{"id": "team_id"}}}, []bool{yes}, false},
	{`rank of what is joined`, "SELECT p.id, rank() OVER (ORDER BY t.name) FROM player p JOIN team t ON t.id = " +
		"p.team_id",
		"k:{id}", []jobs.Watch{byID, byTeam}, []bool{yes, yes}, false},
	{`rank within one column of two`, "SELECT g.shop, g.line, rank() OVER (PARTITION BY g.shop ORDER BY p.pts) " +
		"FROM game g JOIN player p ON p.id = g.player_id",
		"k:{shop}:{line}", []jobs.Watch{byGame, ofGame}, []bool{yes, yes}, false},
	{`join without the key`, "SELECT p.id, t.name FROM player p JOIN team t ON t.id < p.team_id AND t.region = 'r1'",
		"k:{id}",
		[]jobs.Watch{byID, byTeam}, []bool{no, yes}, false},
	{`function that reads the table`, "SELECT id, leader() - pts AS behind FROM player", "k:{id}", []jobs.Watch{byID},
		[]bool{yes}, false},
	{"union of two types", "SELECT id, pts FROM player UNION SELECT player_id, n FROM score", "k:{id}",
		[]jobs.Watch{byID, byScore}, []bool{yes, yes}, true},
	{"except", "SELECT id FROM player EXCEPT SELECT player_id FROM banned", "k:{id}",
		[]jobs.Watch{byID, byBanned}, []bool{yes, yes}, true},
	{`function of the key`, "SELECT id, total(id) FROM player", "k:{id}", []jobs.Watch{byID, byScore}, []bool{no, yes},
		true},
	{"with, computed once", "WITH top AS MATERIALIZED (SELECT * FROM player) SELECT id, pts FROM top", "k:{id}",
		[]jobs.Watch{byID}, []bool{yes}, true},
}
