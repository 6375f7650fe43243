package specfile

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/field"
)

// draft is a job with what the checks across jobs want to know.
type draft struct {
	*jobs.Job
	node  *yaml.Node
	given map[string]*yaml.Node
}

// at returns where a field of the job stands, or the job if it is not given.
func (j draft) at(name string) *yaml.Node {
	if n := j.given[name]; n != nil {
		return n
	}
	return j.node
}

// jobs reads the list of jobs.
func (d *decoder) jobs(n *yaml.Node, base defaults, s *jobs.Spec) {
	items, ok := d.list("jobs", n)
	if ok && len(items) == 0 {
		d.problem(n, "add a job: name, query, key, schedule, ttl", "there are no jobs")
	}
	drafts := make([]draft, 0, len(items))
	for _, item := range items {
		j := d.job(item, base)
		drafts = append(drafts, j)
		s.Jobs = append(s.Jobs, j.Job)
	}
	d.refuseDuplicates(drafts)
	if len(d.problems) == 0 {
		s.Warnings = append(d.notes, d.warnings(drafts, s.Changes.Source)...).InOrder()
	}
}

// refuseDuplicates reports jobs of one name and jobs that would write one key.
func (d *decoder) refuseDuplicates(drafts []draft) {
	names, keys := map[string]int{}, map[string]int{}
	for _, j := range drafts {
		if line := names[j.Name]; line > 0 {
			d.problem(j.at("name"), fmt.Sprintf("the other is in line %d", line), "job %q is there twice", j.Name)
		} else if j.Name != "" {
			names[j.Name] = j.at("name").Line
		}
		if j.Key == nil {
			continue
		}
		if line := keys[j.Key.String()]; line > 0 {
			d.problem(j.at("key"), fmt.Sprintf("the other is in line %d", line),
				"two jobs have the same key and would overwrite each other")
		} else {
			keys[j.Key.String()] = j.at("key").Line
		}
	}
}

// job reads one job.
func (d *decoder) job(n *yaml.Node, base defaults) draft {
	j, zone := base.job, base.zone
	given := d.fields(n, "job", d.jobFields(&j, &zone))
	d.demandOneQuery(n, given)
	if schedule := given["schedule"]; schedule != nil {
		d.schedule(&j, zone)(field.Field{Name: "schedule", Type: field.Cron}, schedule)
	}
	if watch := given["watch"]; watch != nil {
		d.watches(watch, &j)
	}
	if unwatched := given["unwatched"]; unwatched != nil {
		d.unwatched(unwatched, &j)
	}
	j.Steady = given["volatile"] != nil && !j.Volatile
	if given["value"] == nil {
		j.Value = jobs.ValueRow
	}
	if omit := given["omit"]; omit != nil {
		d.omit(omit, &j)
	}
	d.checkValue(&j, given)
	return draft{&j, n, given}
}

func (d *decoder) schedule(j *jobs.Job, zone *time.Location) field.Setter {
	return single(d, &j.Schedule, func(s string) (*jobs.Schedule, error) { return jobs.ParseSchedule(s, zone) })
}

func (d *decoder) demandOneQuery(n *yaml.Node, given map[string]*yaml.Node) {
	switch {
	case given["query"] != nil && given["query_file"] != nil:
		d.problem(given["query_file"], "keep one", "job has both query and query_file")
	case given != nil && given["query"] == nil && given["query_file"] == nil:
		d.missing(n, "add query: SELECT ..., or query_file: with the name of a file", "job", "query")
	}
}

// defaults is what holds for jobs that do not say otherwise.
type defaults struct {
	job  jobs.Job
	zone *time.Location
}

// builtIn is what holds without a defaults section.
func builtIn() defaults {
	return defaults{zone: time.UTC, job: jobs.Job{
		TTL: 15 * time.Minute, Jitter: 0.1, Timeout: 5 * time.Minute, MaxValueBytes: 16 << 20,
		StaleGrace: 30 * time.Second, Rewrite: jobs.RewriteChanged, ShrinkGuard: 0.5,
		Type: jobs.TypeString, Format: jobs.FormatJSON, Compress: jobs.CompressNone, CompressAbove: 1 << 10,
	}}
}

// defaultsFields are read over what is built in.
func (d *decoder) defaultsFields(base *defaults) []field.Field {
	return append(d.commonFields(&base.job, &base.zone),
		field.Field{Name: "format", Type: field.OneOf(jobs.FormatJSON, jobs.FormatMsgpack, jobs.FormatCBOR),
			Default: "json",
			Doc:     "How a value is written.",
			Set:     defaultFormat(d, &base.job.Format)})
}

// jobFields are those of a job; the zone is the one of its schedule.
func (d *decoder) jobFields(j *jobs.Job, zone **time.Location) []field.Field {
	return append(d.commonFields(j, zone), []field.Field{
		{Name: "name", Type: field.Name, Missing: "add a name of a-z, 0-9 and -",
			Doc: "The job's name in commands, logs and metrics.",
			Set: single(d, &j.Name, parseName)},
		{Name: "query", Type: field.Query, Example: "SELECT id, name, price FROM product",
			Doc: "One SELECT: a run executes it as it stands, a refresh as a subquery with a condition on the key.",
			Set: single(d, &j.Query, parseQuery)},
		{Name: "query_file", Type: field.File, Example: "queries/product.sql",
			Doc: "A file with the SELECT, in place of query; ${VAR} means nothing in it.",
			Set: single(d, &j.Query, d.readQuery)},
		{Name: "key", Type: field.Key, Missing: `add the key that a row goes to, as in key: "product:{id}"`,
			Example: `"product:{id}"`,
			Doc:     "The key of a row: {column} is replaced by the row's value, {{ and }} are literal braces.",
			Set:     single(d, &j.Key, jobs.ParseKeyTemplate)},
		{Name: "value", Type: field.OneOf(jobs.ValueRow, jobs.ValueRows, jobs.ValueScalar), Default: "row",
			Doc: "How rows become values: row is a JSON object a row, rows an array of all rows of a key, scalar the " +
				"one column that is not in the key.",
			Set: choice(d, &j.Value)},
		{Name: "type", Type: field.OneOf(jobs.TypeString, jobs.TypeHash, jobs.TypeZSet), Default: "string",
			Doc: "The Redis type of a value: a string is read with GET, a hash, of value row, has a field for each " +
				"column, and a zset, of value rows, is a ranking of the columns member and score.",
			Set: choice(d, &j.Type)},
		{Name: "format", Default: "json",
			Type: field.OneOf(jobs.FormatJSON, jobs.FormatMsgpack, jobs.FormatCBOR, jobs.FormatText,
				jobs.FormatFastAPIRedis),
			Doc: "How a value is written; text, the column without quotes, is for value scalar, and fastapi-redis is " +
				"JSON as fastapi-redis-sdk reads it.",
			Set: choice(d, &j.Format)},
		{Name: "omit", Type: field.ListOf(field.Column).Some(), Example: "[cache_key]",
			Doc: "Columns of the query that stand in no value: they only make the key.",
			Set: field.Later}, // wants the kind of value
		{Name: "schedule", Type: field.Cron, Default: "none, it is run on demand", InWords: true,
			Example: `"*/5 * * * *"`,
			Doc:     "When the job is run; @every fires at multiples of the duration on the clock.",
			Set:     field.Later}, // wants the time zone
		{Name: "evictable", Type: field.Boolean, Default: "false",
			Doc: "Whether other keys may be evicted for the job's values, so that redis.headroom does not hold for it.",
			Set: boolean(d, &j.Evictable)},
		{Name: "priority", Type: field.Number(-1000, 1000), Default: "0",
			Doc: "Where many jobs are to be run again, as when the cache was lost, those of a higher one are first.",
			Set: whole(d, &j.Priority, "0 is as any other job, a higher one is run earlier")},
		{Name: "max_rate", Type: field.Number(1, 100_000_000), Default: "no limit", InWords: true, Example: "5000",
			Doc: "How many rows a second a run reads at most, to spare Postgres and the readers of Redis.",
			Set: whole(d, &j.MaxRate, "leave it out for no limit")},
		{Name: "volatile", Type: field.Boolean, Default: "the database decides", InWords: true,
			Doc: "Whether the query reads more than rows of this database, such as time or random values, so that it " +
				"is run even if nothing was committed.",
			Set: boolean(d, &j.Volatile)},
		{Name: "role", Type: field.Role,
			Doc: "The role that the job's queries run as, by SET LOCAL ROLE.",
			Set: single(d, &j.Role, parseRole)},
		{Name: "watch", Type: field.Sections, Fields: d.watchFields(new(jobs.Watch), nil),
			Doc: "The tables whose changes make keys out of date, with changes.source wal or outbox.",
			Set: field.Later}, // wants the key
		{Name: "unwatched", Type: field.ListOf(field.Table), Example: "[vat_rate, shop.country]",
			Doc: "Tables that the query reads and watch need not name; their changes show at the next run.",
			Set: field.Later}, // wants the watch list
		{Name: "objective", Type: field.Section, Fields: d.objectiveFields(new(jobs.Objective)),
			Doc: "How old the job's values may be when they are read, and how often that must hold.",
			Set: func(_ field.Field, n *yaml.Node) { d.objective(n, j) }},
	}...)
}

// commonFields are those that a job and the defaults have both.
func (d *decoder) commonFields(j *jobs.Job, zone **time.Location) []field.Field {
	return []field.Field{
		{Name: "ttl", Type: field.Duration, Default: "15m",
			Doc: "How long a value lives in Redis, and so how long an old value is better than none.",
			Set: single(d, &j.TTL, parsePositive)},
		{Name: "jitter", Type: field.Share, Default: "10%",
			Doc: "The share of the TTL that is taken off at random, key by key, so that keys do not expire together.",
			Set: single(d, &j.Jitter, parseJitter)},
		{Name: "timeout", Type: field.Duration, Default: "5m",
			Doc: "How long a whole run or a refresh may take, at most 24h.",
			Set: single(d, &j.Timeout, parseTimeout)},
		{Name: "time_zone", Type: field.Zone, Default: "UTC",
			Doc: "The time zone that the schedule is read in.",
			Set: single(d, zone, parseZone)},
		{Name: "max_value_bytes", Type: field.Size, Default: "16MiB",
			Doc: "A larger value, before compression, is not written.",
			Set: single(d, &j.MaxValueBytes, parseBytes)},
		{Name: "stale_grace", Type: field.Grace, Default: "30s",
			Doc: "How long a value stays readable once a change has made it out of date; 0 removes it at once.",
			Set: single(d, &j.StaleGrace, parseGrace)},
		{Name: "rewrite", Type: field.OneOf(jobs.RewriteChanged, jobs.RewriteAlways), Default: "changed",
			Doc: "Which values a run sends: those that are not in Redis as they should be, or every value each time.",
			Set: choice(d, &j.Rewrite)},
		{Name: "shrink_guard", Type: field.Share, Default: "50%",
			Doc: "A result that lost more than this share of its keys removes none of them until a person agrees.",
			Set: single(d, &j.ShrinkGuard, parseShrinkGuard)},
		{Name: "compress", Type: field.OneOf(jobs.CompressNone, jobs.CompressGzip, jobs.CompressZstd), Default: "none",
			Doc: "How values of compress_above bytes or more are compressed.",
			Set: choice(d, &j.Compress)},
		{Name: "compress_above", Type: field.Size, Default: "1KiB",
			Doc: "Smaller values are not compressed.",
			Set: single(d, &j.CompressAbove, parseBytes)},
	}
}
