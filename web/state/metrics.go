package state

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web"
	"github.com/stokerhq/stoker/web/reads"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	exporting = describe("stoker_state_exporter",
		"1 in the process that exports the state of jobs, queues and cache; the sum over all replicas is 1.")

	lastSuccess = describe("stoker_job_last_success_timestamp_seconds",
		"When the last complete run ended; absent before the first one.", "job")
	oldestValue = describe("stoker_job_oldest_value_seconds",
		"How old a value can be at most when it is read: since the last complete run began. A job that follows "+
			"changes "+
			"is fresher than that.", "job")
	warmRatio = describe("stoker_job_warm_ratio",
		"Share of the keys of the last complete run that are in Redis, by a sample.", "job")
	jobKeys = describe("stoker_job_keys", "Keys of the last complete run.", "job")
	jobSize = describe("stoker_job_bytes", "Bytes of the keys and values of the last complete run.", "job")

	jobTTL    = describe("stoker_job_ttl_seconds", "The TTL of the job's values, by the spec.", "job")
	jobPeriod = describe("stoker_job_period_seconds",
		"The longest time between two ticks; absent without a schedule.", "job")

	queuePending = describe("stoker_queue_pending",
		"Tasks that wait for a worker; not those that are active, or kept after their end.", "queue")

	cacheMemory    = describe("stoker_cache_memory_bytes", "Memory that the cache's Redis uses, over all masters.")
	cacheMaxMemory = describe("stoker_cache_maxmemory_bytes",
		"maxmemory of the cache's Redis, over all masters; 0: no limit.")
	cacheEvicted = describe("stoker_cache_evicted_keys_total",
		"Keys that the cache's Redis has evicted because its memory was full, since it began.")
	cacheReads = describe("stoker_cache_reads_total",
		"Keys that readers have asked the cache's Redis for, without what Stoker itself looks up; hit or miss. Absent "+
			"where that is not known.", "result")
)

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// jobMetrics are the series of one job. What is not known has none.
func jobMetrics(st web.JobStatus) (list []prometheus.Metric) {
	if !st.LastSuccess.IsZero() {
		list = append(list, gauge(lastSuccess, float64(st.LastSuccess.UnixMilli())/1000, st.Name),
			gauge(jobKeys, float64(st.Keys), st.Name), gauge(jobSize, float64(st.Bytes), st.Name))
	}
	if st.AgeSeconds != nil {
		list = append(list, gauge(oldestValue, *st.AgeSeconds, st.Name))
	}
	if st.Warmth != nil {
		list = append(list, gauge(warmRatio, *st.Warmth, st.Name))
	}
	return append(list, objectiveMetrics(st)...)
}

// specMetrics are what the spec says of a job.
func specMetrics(job *jobs.Job, now time.Time) []prometheus.Metric {
	list := []prometheus.Metric{gauge(jobTTL, job.TTL.Seconds(), job.Name)}
	if job.Schedule != nil {
		list = append(list, gauge(jobPeriod, job.Schedule.Period(now).Seconds(), job.Name))
	}
	if o := job.Objective; o != nil {
		list = append(list, gauge(objectiveAge, o.Age.Seconds(), job.Name), gauge(objectiveRatio, o.Ratio, job.Name),
			gauge(objectiveWindow, o.Window.Seconds(), job.Name))
	}
	return list
}

// readMetrics are the reads, where they are known.
func readMetrics(r store.Reads, now time.Time) []prometheus.Metric {
	if reads.NewReport(r, now).Unknown != "" {
		return nil
	}
	return []prometheus.Metric{
		prometheus.MustNewConstMetric(cacheReads, prometheus.CounterValue, float64(r.Hits), "hit"),
		prometheus.MustNewConstMetric(cacheReads, prometheus.CounterValue, float64(r.Misses), "miss"),
	}
}
