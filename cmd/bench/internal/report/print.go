package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func (r *Report) printGoals(b *strings.Builder) {
	if len(r.Goals) == 0 {
		return
	}
	b.WriteString("\nGOALS\n")
	t := table{{"", "value", "target", "aim", ""}}
	for _, g := range r.Goals {
		target, aim, verdict := "-", "-", "-"
		if g.Limit != "" {
			target, verdict = g.Limit+" "+number(g.Target)+unit(g.Unit), "NOT reached"
			if g.Reached {
				verdict = "reached"
			}
		}
		if g.Aim != 0 {
			aim = number(g.Aim)
		}
		t.row(g.What, fmt.Sprintf("%.2f", g.Value)+unit(g.Unit), target, aim, verdict)
	}
	b.WriteString(t.String())
}

func unit(u string) string {
	if u == "" {
		return ""
	}
	return " " + u
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// seconds of nothing known is a dash.
func seconds(s Seconds) string {
	if s <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(s))
}

func clock(s Seconds) string {
	return time.Duration(float64(s) * float64(time.Second)).Round(time.Second).String()
}

// count writes a number with its thousands apart.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
