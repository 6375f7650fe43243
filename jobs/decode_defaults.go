package jobs

import (
	"time"

	"go.yaml.in/yaml/v3"
)

// defaults is what holds for jobs that do not say otherwise.
type defaults struct {
	job  Job
	zone *time.Location
}

// builtIn is what holds without a defaults section.
func builtIn() defaults {
	return defaults{zone: time.UTC, job: Job{
		TTL: 15 * time.Minute, Jitter: 0.1, Timeout: 5 * time.Minute, MaxValueBytes: 16 << 20,
		StaleGrace: 30 * time.Second, Rewrite: RewriteChanged, ShrinkGuard: 0.5,
		Type: TypeString, Format: FormatJSON, Compress: CompressNone, CompressAbove: 1 << 10,
	}}
}

// defaults reads the section of that name over what is built in.
func (d *decoder) defaults(n *yaml.Node, base *defaults) {
	known := d.common(&base.job, &base.zone)
	known["format"] = required(d, &base.job.Format, parseDefaultFormat)
	d.fields(n, "defaults", known)
}

// common is the fields that a job and the defaults have both.
func (d *decoder) common(j *Job, zone **time.Location) map[string]setter {
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
