package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Broken by: a code that is not listed, and by looking only at the start of the text, which Asynq and Redis 6
// put words of their own before.
func TestRefusalIn(t *testing.T) {
	for text, code := range map[string]string{
		"NOREPLICAS Not enough good replicas to write.":                                            "NOREPLICAS",
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to":          "MISCONF",
		"READONLY You can't write against a read only replica.":                                    "READONLY",
		"OOM command not allowed when used memory > 'maxmemory'.":                                  "OOM",
		"LOADING Redis is loading the dataset in memory":                                           "LOADING",
		"LOADING Valkey is loading the dataset in memory":                                          "LOADING",
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL":                       "BUSY",
		"CLUSTERDOWN The cluster is down":                                                          "CLUSTERDOWN",
		"CLUSTERDOWN Hash slot not served":                                                         "CLUSTERDOWN",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":         "MASTERDOWN",
		"NOPERM this user has no permissions to run the 'evalsha' command":                         "NOPERM",
		"NOAUTH Authentication required.":                                                          "NOAUTH",
		"WRONGPASS invalid username-password pair or user is disabled.":                            "WRONGPASS",
		"MOVED 3999 127.0.0.1:6381":                                                                "MOVED",
		"EXECABORT Transaction discarded because of previous errors.":                              "EXECABORT",
		"DENIED Redis is running in protected mode because":                                        "DENIED",
		"UNKNOWN: redis eval error: NOREPLICAS Not enough good replicas to write.":                 "NOREPLICAS",
		"ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write":        "READONLY",
		"fence 1 keys, the first is item:1: OOM command not allowed when used memory > 'max'.":     "OOM",
		"fence: ERR The user executing the script can't run this command or subcommand script: 09": "NOPERM",
		"ERR The user executing the script can't access at least one of the keys mentioned in the": "NOPERM",
		"dial tcp 127.0.0.1:1: connect: connection refused":                                        "",
		"ERR wrong number of arguments for 'set' command":                                          "",
		"NOSCRIPT No matching script. Please use EVAL.":                                            "",
		"the host is BUSY": "",
		"":                 "",
	} {
		r, is := RefusalIn(errors.New(text))
		if is != (code != "") || r.Code != code {
			t.Errorf("%q: %+v, %v", text, r, is)
		}
		if is && (r.Remedy == "" || !strings.HasSuffix(text, r.Answer)) {
			t.Errorf("%q: %+v", text, r)
		}
		again := WithRemedy(WithRemedy(errors.New(text)))
		if strings.Count(again.Error(), "(") > strings.Count(text+r.String(), "(") {
			t.Errorf("%q", again)
		}
		if r2, _ := RefusalIn(again); r2 != r {
			t.Errorf("with its remedy %+v, without %+v", r2, r)
		}
	}
	if _, is := RefusalIn(nil); is {
		t.Error("no error is a refusal")
	}
	words := &QueryError{Job: "j", SQLState: "57014", Message: `column "READONLY yes"`}
	if r, is := RefusalIn(fmt.Errorf("run: %w", words)); is {
		t.Errorf("what postgres says was taken for redis: %+v", r)
	}
}
