package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is lines of cells: the first column to the left, the others to the right.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

func (t table) String() string {
	var widths []int
	for _, cells := range t {
		for i, c := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, cells := range t {
		line := "  "
		for i, c := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i == 0 {
				line += c + pad
			} else {
				line += "  " + pad + c
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// Print writes the report for a person.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	r.printHead(&b)
	for _, part := range r.parts() {
		r.printPart(&b, part)
	}
	r.printLatency(&b)
	r.printReruns(&b)
	r.printMemory(&b)
	r.printLags(&b)
	r.printLoad(&b)
	r.printWriters(&b)
	r.printBuilds(&b)
	r.printGoals(&b)
	if r.Micro != nil {
		fmt.Fprintf(&b, "\nMICRO-BENCHMARKS: %s against %s\n%s\n", r.Micro.Tree, r.Micro.Base, r.Micro.Benchstat)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) printHead(b *strings.Builder) {
	fmt.Fprintf(b, "Stoker's benchmark, %s\n", r.Date.Format("2006-01-02 15:04 MST"))
	t := [][2]string{
		{"stoker", r.Stoker},
		{"machine", fmt.Sprintf("%s, %d cores, %.1f GiB, %s; load before: %s", r.Machine.CPU, r.Machine.Cores,
			float64(r.Machine.Memory)/(1<<30), r.Machine.System, r.Machine.Load)},
	}
	if len(r.Data) > 0 {
		t = append(t, [2]string{"servers", fmt.Sprintf("Postgres %s, Redis %s; clients: %s", r.Postgres, r.Redis,
			r.Go)},
			[2]string{"rounds", fmt.Sprintf("%d, contenders in turn; figures are medians; took %s", r.Rounds,
				clock(r.Took))})
	}
	for _, cells := range t {
		fmt.Fprintf(b, "  %-9s %s\n", cells[0], cells[1])
	}
	if r.Others > disturbed {
		fmt.Fprintf(b, "  disturbed others had %.0f %% of the processors while this ran: trust no times\n",
			100*r.Others)
	}
	if r.Scale != 1 {
		fmt.Fprintf(b, "  scale     %g: good for trying the program, not for its figures\n", r.Scale)
	}
}

// disturbed is the share of the machine that others may have: the kernel's own
// work is among it.
const disturbed = 0.05

func (r *Report) printPart(b *strings.Builder, part string) {
	fmt.Fprintf(b, "\n%s", strings.ToUpper(part))
	for _, d := range r.Data {
		if d.Part == part {
			fmt.Fprintf(b, ": %s rows, values of %.0f bytes, keys like %s", count(d.Rows), d.Value, d.Key)
		}
	}
	b.WriteString("\n")
	t := table{{"", "rounds", "wall s", "min to max", "keys/s", "CPU s: backend", "redis", "client", "others"}}
	for _, c := range []Contender{Ours, Ingest, Psql, Plain, Pipelined, Read} {
		list := r.of(part, c)
		if len(list) == 0 {
			continue
		}
		low, high := list[0].Wall, list[0].Wall
		for _, s := range list {
			low, high = min(low, s.Wall), max(high, s.Wall)
		}
		m := r.median(part, c, wall)
		t.row(fmt.Sprintf("(%s) %s", c, contenderNames[c]), fmt.Sprint(len(list)), seconds(m),
			fmt.Sprintf("%.2f to %.2f", low, high),
			count(int64(float64(list[0].Keys)/float64(m))), seconds(r.median(part, c, backend)),
			seconds(r.median(part, c, redis)),
			seconds(r.median(part, c, client)), seconds(r.median(part, c, others)))
	}
	b.WriteString(t.String())
}

func (r *Report) printLatency(b *strings.Builder) {
	if len(r.Latency) == 0 {
		return
	}
	b.WriteString("\nREADER: one connection GETs random products, microseconds\n")
	t := table{{"while", "rounds", "GETs", "p50", "p99", "p99.9", "max", "CPU s: others"}}
	micros := func(s Seconds) string { return count(int64(s*1e6 + 0.5)) }
	states, of := r.latencies()
	for _, state := range states {
		list, gets, worst := of[state], 0, Seconds(0)
		for _, l := range list {
			gets, worst = gets+l.Gets, max(worst, l.Max)
		}
		t.row(state, fmt.Sprint(len(list)), count(int64(gets)),
			micros(middle(list, func(l Latency) Seconds { return l.P50 })), micros(middle(list, p99)),
			micros(middle(list, func(l Latency) Seconds { return l.P999 })), micros(worst),
			seconds(middle(list, func(l Latency) Seconds { return l.Others })))
	}
	b.WriteString(t.String())
}

func (r *Report) printReruns(b *strings.Builder) {
	if len(r.Reruns) == 0 {
		return
	}
	b.WriteString("\nRE-RUNS of the products\n")
	t := table{{"", "rounds", "wall s", "with a replica", "sent to it"}}
	for _, kind := range []string{KindCold, KindUnchanged, KindChanged} {
		var alone, beside, sent []Seconds
		for _, s := range r.Reruns {
			switch {
			case s.Kind != kind:
			case s.Replica:
				beside, sent = append(beside, s.Wall), append(sent, Seconds(s.Replication))
			default:
				alone = append(alone, s.Wall)
			}
		}
		t.row(kind, fmt.Sprint(len(alone)), seconds(Median(alone)), seconds(Median(beside)),
			fmt.Sprintf("%.1f MB", Median(sent)/1e6))
	}
	b.WriteString(t.String())
}

func (r *Report) printMemory(b *strings.Builder) {
	if len(r.Memory) == 0 {
		return
	}
	b.WriteString("\nMEMORY of the daemon, the most it had resident\n")
	t := table{{"", "rows", "MiB"}}
	for _, m := range r.Memory {
		t.row(m.What, count(m.Rows), fmt.Sprintf("%.1f", float64(m.Peak)/mebibyte))
	}
	b.WriteString(t.String())
}
