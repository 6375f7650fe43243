package objective

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/web/wording"
)

// Budgets is where accounts are read; store/ledger is one.
type Budgets interface {
	Budget(ctx context.Context, job string, fields ...string) (state string, kept []string, err error)
}

// Status is how a job stands with its objective at one moment.
type Status struct {
	AgeSeconds    float64 `json:"age_seconds"` // how old a value may be
	Ratio         float64 `json:"ratio"`       // how often that must hold
	WindowSeconds float64 `json:"window_seconds"`

	Met    bool     `json:"met"`                      // it holds now; what is not known does not
	Reason string   `json:"reason,omitempty"`         // why it does not
	Oldest *float64 `json:"oldest_seconds,omitempty"` // how old a value can be now at most; nil: not known

	Since time.Time `json:"since,omitzero"` // the time that was counted begins
	Good  float64   `json:"good_seconds"`   // of Total, since then
	Total float64   `json:"total_seconds"`

	GoodRatio  *float64 `json:"good_ratio,omitempty"` // of the window as far as it was counted; nil: nothing yet
	Budget     float64  `json:"budget_seconds"`       // of bad time that the window may have
	BudgetLeft float64  `json:"budget_left_seconds"`  // of these; below 0: the objective is missed
	Burn       []Burn   `json:"burn_rates,omitempty"` // over Spans
}

// Burn is how fast the budget is used: at 1, all of it in one window of the objective.
type Burn struct {
	Over string  `json:"over"` // as 1h
	Rate float64 `json:"rate"`
}

// Spans are the times over which burn rates are told.
var Spans = []time.Duration{time.Hour, 6 * time.Hour, 3 * 24 * time.Hour}

// unmeasured is after which time without a count nobody seems to measure.
const unmeasured = 30 * time.Second

// Read returns how a job with an objective stands at now.
func Read(ctx context.Context, b Budgets, job *jobs.Job, now time.Time) (*Status, error) {
	o := job.Objective
	ms := now.UnixMilli()
	marks, fields := make([]int64, len(Spans)+1), make([]string, len(Spans)+1)
	marks[0], fields[0] = back(ms, o.Window, o.Window)
	for i, span := range Spans {
		marks[i+1], fields[i+1] = back(ms, span, o.Window)
	}
	state, kept, err := b.Budget(ctx, job.Name, fields...)
	if err != nil {
		return nil, err
	}
	a, same, err := parse(state, o)
	if err != nil {
		return nil, err
	}
	st := &Status{AgeSeconds: o.Age.Seconds(), Ratio: o.Ratio, WindowSeconds: o.Window.Seconds(),
		Budget: o.Budget().Seconds(), BudgetLeft: o.Budget().Seconds(), Reason: "it was not measured yet"}
	if !same {
		return st, nil
	}
	st.now(a, ms)
	a.advance(ms, o.Window)
	st.Since, st.Good, st.Total = time.UnixMilli(a.Begin).UTC(), seconds(a.Good), seconds(a.Until-a.Begin)
	for i, text := range kept {
		good, total := int64(0), int64(0)
		if marks[i] >= a.Begin { // or it is of an account before this one
			if good, total, err = sums(text); err != nil {
				return nil, err
			}
		}
		good, total = a.Good-good, a.Until-a.Begin-total
		switch {
		case total <= 0:
		case i == 0:
			st.GoodRatio = new(float64(good) / float64(total))
			st.BudgetLeft -= seconds(total - good)
		default:
			bad := float64(total-good) / float64(total)
			st.Burn = append(st.Burn, Burn{Over: over(Spans[i-1]), Rate: bad / (1 - o.Ratio)})
		}
	}
	return st, nil
}

// now notes how the account stands at this moment.
func (st *Status) now(a account, ms int64) {
	if a.Confirmed > 0 {
		st.Oldest = new(seconds(max(0, ms-a.Confirmed)))
	}
	switch last := time.Duration(ms-a.Until) * time.Millisecond; {
	case last >= unmeasured:
		st.Reason = "nobody has measured it for " + wording.Roughly(last) +
			": no daemon with the admin role runs, or none reaches the queue's Redis"
	case a.Reason != "":
		st.Reason = a.Reason
	case a.Through < ms:
		st.Reason = "how old the values are has not been known for " +
			wording.Roughly(time.Duration(ms-a.Through)*time.Millisecond)
	default:
		st.Met, st.Reason = true, ""
	}
}

func seconds(ms int64) float64 { return float64(ms) / 1000 }

func over(d time.Duration) string {
	if d >= 24*time.Hour {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return fmt.Sprintf("%dh", d/time.Hour)
}

// LeftRatio is the share of the budget that is left; below 0 when more is used than there was.
func (st *Status) LeftRatio() float64 { return st.BudgetLeft / st.Budget }

// Text is the status in a few words, as "12 min of 43 min 12 s left".
func (st *Status) Text() string {
	all := wording.Roughly(toDuration(st.Budget))
	if st.BudgetLeft < 0 {
		return fmt.Sprintf("missed: %s over the %s that may be bad", wording.Roughly(toDuration(-st.BudgetLeft)), all)
	}
	return fmt.Sprintf("%s of %s left", wording.Roughly(toDuration(st.BudgetLeft)), all)
}

// Goal is the objective itself, as "99.9 % within 1 min, over 30 d".
func (st *Status) Goal() string {
	return fmt.Sprintf("%.6g %% within %s, over %s", st.Ratio*100, wording.Duration(toDuration(st.AgeSeconds)),
		wording.Duration(toDuration(st.WindowSeconds)))
}

// Details are the measured ratio and the burn rates, in one line.
func (st *Status) Details() string {
	if st.GoodRatio == nil {
		return "nothing was counted yet"
	}
	text := fmt.Sprintf("%.6g %% good", math.Floor(*st.GoodRatio*1e6)/1e4)
	for _, b := range st.Burn {
		text += fmt.Sprintf(", burn rate %.2g over %s", b.Rate, b.Over)
	}
	return text
}

// Level is good, fair or bad, for the colour of a bar.
func (st *Status) Level() string {
	switch {
	case st.BudgetLeft <= 0:
		return "bad"
	case !st.Met || st.LeftRatio() < 0.25:
		return "fair"
	}
	return "good"
}

// LeftPercent is LeftRatio as a bar shows it. 0 is said only when nothing is left.
func (st *Status) LeftPercent() int {
	return int(math.Ceil(max(0, st.LeftRatio()) * 100))
}

func toDuration(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
