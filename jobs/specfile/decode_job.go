package specfile

import (
	"fmt"
	"maps"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
)

// draft is a job with what the checks across jobs want to know.
type draft struct {
	*jobs.Job
	node  *yaml.Node
	given map[string]*yaml.Node
}

// at returns where a field of the job stands, or the job if it is not given.
func (j draft) at(field string) *yaml.Node {
	if n := j.given[field]; n != nil {
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
	known := d.common(&j, &zone)
	maps.Copy(known, map[string]setter{
		"name":       required(d, &j.Name, parseName),
		"query":      required(d, &j.Query, parseQuery),
		"query_file": required(d, &j.Query, d.readQuery),
		"volatile":   required(d, &j.Volatile, parseBool),
		"key":        required(d, &j.Key, jobs.ParseKeyTemplate),
		"value":      required(d, &j.Value, parseValueKind),
		"type":       required(d, &j.Type, parseType),
		"role":       required(d, &j.Role, parseRole),
		"schedule":   later, // wants the time zone
		"watch":      later, // wants the key
		"unwatched":  later, // wants the watch list
	})
	given := d.fields(n, "job", known)
	d.demand(n, given, "job", "name", "add a name of a-z, 0-9 and -")
	d.demand(n, given, "job", "key", `add the key that a row goes to, as in key: "product:{id}"`)
	d.demandOneQuery(n, given)
	if schedule := given["schedule"]; schedule != nil {
		d.schedule(&j, zone)("schedule", schedule)
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
	d.checkValue(&j, given)
	return draft{&j, n, given}
}

// checkValue holds a job's type, format and compression against its kind of
// value and each other. A kind that could not be read has had its problem.
func (d *decoder) checkValue(j *jobs.Job, given map[string]*yaml.Node) {
	if j.Value == "" {
		return
	}
	if j.Format == jobs.FormatText && j.Value != jobs.ValueScalar {
		d.problem(given["format"], "write value: scalar, or another format", "format text is for value: scalar, not %s",
			j.Value)
	}
	if j.Type != jobs.TypeHash {
		return
	}
	if j.Value != jobs.ValueRow {
		d.problem(given["type"], "write value: row, or type: string", "type hash is for value: row, not %s", j.Value)
	}
	if format := given["format"]; format != nil {
		d.problem(format, "remove it, or write type: string",
			"type hash has no format: its fields hold the columns' text")
	}
	if compress := given["compress"]; compress != nil && j.Compress != jobs.CompressNone {
		d.problem(compress, "remove it, or write type: string",
			"type hash cannot be compressed: readers ask Redis for single fields")
	}
	j.Format, j.Compress = jobs.FormatJSON, jobs.CompressNone // also where the defaults have others
}

func (d *decoder) schedule(j *jobs.Job, zone *time.Location) setter {
	return required(d, &j.Schedule, func(s string) (*jobs.Schedule, error) { return jobs.ParseSchedule(s, zone) })
}

func (d *decoder) demandOneQuery(n *yaml.Node, given map[string]*yaml.Node) {
	switch {
	case given["query"] != nil && given["query_file"] != nil:
		d.problem(given["query_file"], "keep one", "job has both query and query_file")
	case given["query_file"] == nil:
		d.demand(n, given, "job", "query", "add query: SELECT ..., or query_file: with the name of a file")
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

// defaults reads the section of that name over what is built in.
func (d *decoder) defaults(n *yaml.Node, base *defaults) {
	known := d.common(&base.job, &base.zone)
	known["format"] = required(d, &base.job.Format, parseDefaultFormat)
	d.fields(n, "defaults", known)
}

// common is the fields that a job and the defaults have both.
func (d *decoder) common(j *jobs.Job, zone **time.Location) map[string]setter {
	return map[string]setter{
		"ttl":             required(d, &j.TTL, parsePositive),
		"jitter":          required(d, &j.Jitter, parseJitter),
		"timeout":         required(d, &j.Timeout, parseTimeout),
		"time_zone":       required(d, zone, parseZone),
		"max_value_bytes": required(d, &j.MaxValueBytes, parseBytes),
		"stale_grace":     required(d, &j.StaleGrace, parseGrace),
		"rewrite":         required(d, &j.Rewrite, parseRewrite),
		"shrink_guard":    required(d, &j.ShrinkGuard, parseShrinkGuard),
		"format":          required(d, &j.Format, parseFormat),
		"compress":        required(d, &j.Compress, parseCompression),
		"compress_above":  required(d, &j.CompressAbove, parseBytes),
	}
}
