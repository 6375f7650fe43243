package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/hibiken/asynq"
)

// Definition is a digest of what makes the job's keys, values and TTLs. Two specs that give a job the same one write
// the same of it, whatever else they say. It stands in manifests, in the records of runs and in tasks.
func (j *Job) Definition() string {
	key := ""
	if j.Key != nil {
		key = j.Key.String()
	}
	parts := []any{j.Query, key, j.Value, j.TTL, j.Jitter, j.Type, j.Format, j.Compress, j.CompressAbove,
		j.MaxValueBytes}
	if j.Role != "" {
		parts = append(parts, j.Role)
	}
	if len(j.Omit) > 0 {
		parts = append(parts, j.Omit)
	}
	b, err := json.Marshal(parts)
	if err != nil {
		panic(err) // texts and numbers
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Defines reports whether a run on record was of the job's definition. Records of older versions do not say: they
// count, or an upgrade would run every job.
func (j *Job) Defines(recorded string) bool { return recorded == "" || recorded == j.Definition() }

// headerDefinition says with which definition of its job a task was made. It is a header: older workers, which would
// refuse a field of the payload that they do not know, do the task as they always did.
const headerDefinition = "stoker-definition"

// MarkDefinition notes in a task of this package the definition of its job, unless it has one: a task that is handed
// on keeps that of who asked first.
func MarkDefinition(t *asynq.Task, spec *Spec) {
	headers := t.Headers() // the task's own map
	if headers == nil || headers[headerDefinition] != "" {
		return
	}
	if job, ok := spec.Job(JobOf(t)); ok {
		headers[headerDefinition] = job.Definition()
	}
}

// DefinitionOf returns the definition of its job with which a task was made; "": it does not say.
func DefinitionOf(t *asynq.Task) string { return t.Headers()[headerDefinition] }

// JobOf returns the name of the job that a task is of; "" if its payload names none.
func JobOf(t *asynq.Task) string {
	var of struct {
		Job string `json:"job"`
	}
	if err := json.Unmarshal(t.Payload(), &of); err != nil {
		return "" // whoever takes it says what is wrong
	}
	return of.Job
}
