package jobs

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// Crontab's habits: each row is a line, and the ticks that follow a time, in UTC.
func TestCrontabHabits(t *testing.T) {
	const thursday = "2026-01-01T00:00:00Z"
	for line, want := range map[string][]string{
		"0 3 * * 7":       {"2026-01-04T03:00:00Z", "2026-01-11T03:00:00Z"},
		"0 3 * * 0":       {"2026-01-04T03:00:00Z", "2026-01-11T03:00:00Z"},
		"0 3 * * 5-7":     {"2026-01-02T03:00:00Z", "2026-01-03T03:00:00Z", "2026-01-04T03:00:00Z"},
		"0 3 * * fri-SUN": {"2026-01-02T03:00:00Z", "2026-01-03T03:00:00Z", "2026-01-04T03:00:00Z"},
		"0 3 * * MON-SUN": {"2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z", "2026-01-03T03:00:00Z"},
		"0 3 * * 0-7":     {"2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"},
		"0 3 * * Sun-Tue": {"2026-01-04T03:00:00Z", "2026-01-05T03:00:00Z", "2026-01-06T03:00:00Z"},
		"0 3 * * 1-7/2":   {"2026-01-02T03:00:00Z", "2026-01-04T03:00:00Z", "2026-01-05T03:00:00Z"},
		"0 3 * * SUN-SUN": {"2026-01-04T03:00:00Z", "2026-01-11T03:00:00Z"},
		"0 3 * Feb mOn":   {"2026-02-02T03:00:00Z", "2026-02-09T03:00:00Z"},
		"0 3 1 jan-MAR *": {"2026-01-01T03:00:00Z", "2026-02-01T03:00:00Z", "2026-03-01T03:00:00Z"},

		// With * in front, a day field is no restriction of its own: both must match.
		"0 3 */2 * MON":   {"2026-01-05T03:00:00Z", "2026-01-19T03:00:00Z", "2026-02-09T03:00:00Z"},
		"0 3 */2 * 1":     {"2026-01-05T03:00:00Z", "2026-01-19T03:00:00Z", "2026-02-09T03:00:00Z"},
		"0 3 13 * */5":    {"2026-02-13T03:00:00Z", "2026-03-13T03:00:00Z", "2026-09-13T03:00:00Z"},
		"0 3 *,13 * FRI":  {"2026-01-02T03:00:00Z", "2026-01-09T03:00:00Z"},
		"0 3 ? * FRI":     {"2026-01-02T03:00:00Z", "2026-01-09T03:00:00Z"},
		"0 3 13 * ?":      {"2026-01-13T03:00:00Z", "2026-02-13T03:00:00Z"},
		"0 3 13 * FRI":    {"2026-01-02T03:00:00Z", "2026-01-09T03:00:00Z", "2026-01-13T03:00:00Z"},
		"0 3 1-31 * MON":  {"2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"},
		"0 3 13,* * FRI":  {"2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"},
		"0 3 1-31/2 * 1":  {"2026-01-01T03:00:00Z", "2026-01-03T03:00:00Z", "2026-01-05T03:00:00Z"},
		"0 0 29 2 */7":    {"2032-02-29T00:00:00Z", "2060-02-29T00:00:00Z"},
		"0 0 29 2 *":      {"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"},
		"15 10 3 * * MON": {"2026-01-05T03:10:15Z", "2026-01-12T03:10:15Z"},

		"5/20 * * * *":    {"2026-01-01T00:05:00Z", "2026-01-01T00:25:00Z", "2026-01-01T00:45:00Z"},
		"*/60 * * * *":    {"2026-01-01T01:00:00Z"},
		"0 */24 * * *":    {"2026-01-02T00:00:00Z"},
		"00 03 01 01 *":   {"2026-01-01T03:00:00Z", "2027-01-01T03:00:00Z"},
		"0  3\t* * *":     {"2026-01-01T03:00:00Z"},
		"50-59/4 * * * *": {"2026-01-01T00:50:00Z", "2026-01-01T00:54:00Z", "2026-01-01T00:58:00Z"},

		"@midnight": {"2026-01-02T00:00:00Z"},
		"@Daily":    {"2026-01-02T00:00:00Z"},
		"@annually": {"2027-01-01T00:00:00Z"},
		"@yearly":   {"2027-01-01T00:00:00Z"},
		"@weekly":   {"2026-01-04T00:00:00Z"},
		"@Every 1h": {"2026-01-01T01:00:00Z"},

		"CRON_TZ=Europe/Berlin 0 3 * * 7": {"2026-01-04T02:00:00Z"},
		"TZ=Europe/Berlin @daily":         {"2026-01-01T23:00:00Z"},
		"CRON_TZ=Asia/Tokyo\n0 9 * * *":   {"2026-01-02T00:00:00Z"},
	} {
		s, tick := schedule(t, line, "UTC"), at(t, thursday)
		for _, w := range want {
			if tick = s.Next(tick); !tick.Equal(at(t, w)) {
				t.Errorf("%s: %v, want %s", line, tick, w)
			}
		}
	}
}

// What crontab does not know is refused, with the way to write it.
func TestCrontabRefusals(t *testing.T) {
	for line, want := range map[string]string{
		"0 3 * * FRI-MON":                 "write two ranges: 5-7,1",
		"0 3 * * 5-1":                     "write two ranges: 5-7,1",
		"0 3 * * SAT-WED":                 "write two ranges: 6-7,1-3",
		"0 3 * * 5-0":                     "write 5-7",
		"0 3 * * 7-2":                     "write 0-2",
		"0 22-6 * * *":                    "write two ranges: 22-23,0-6",
		"55-5 * * * *":                    "write two ranges: 55-59,0-5",
		"0 3 28-2 * *":                    "write two ranges: 28-31,1-2",
		"0 3 * NOV-FEB *":                 "write two ranges: 11-12,1-2",
		"@reboot":                         "leave the schedule out",
		"0 3 L * *":                       "28-31",
		"0 3 L-3 * *":                     "28-31",
		"0 3 LW * *":                      "28-31",
		"0 3 * * 5L":                      "FRI",
		"0 3 * * friL":                    "FRI",
		"0 3 * * L":                       "FRI",
		"0 3 15W * *":                     "MON-FRI",
		"0 3 * * FRI#2":                   "the day alone",
		"0 3 * * 5#2":                     "the day alone",
		"0 24 * * *":                      "write 0,",
		"0 0-24 * * *":                    "outside 0 to 23: 24",
		"60 * * * *":                      "write 0,",
		"0 3 0 * *":                       "outside 1 to 31: 0",
		"0 3 32 * *":                      "outside 1 to 31: 32",
		"0 3 * 0 *":                       "JAN to DEC",
		"0 3 * 13 *":                      "outside 1 to 12: 13",
		"0 3 * * 8":                       "0 and 7 are Sunday",
		"0 3 * * MONDAY":                  "first three letters: MON",
		"0 3 * January *":                 "first three letters: JAN",
		"0 3 * MON *":                     "a month that is not one",
		"0 3 * * JAN":                     "a day of the week that is not one",
		"0 3 * * un":                      "a day of the week that is not one",
		"*/0 * * * *":                     "a step of 0",
		"*/90 * * * *":                    "@every 90m",
		"0 */36 * * *":                    "a step longer than the 24 values",
		"0 3 */32 * *":                    "a step longer than the 31 values",
		"*/x * * * *":                     "a step that is not a number",
		"*/-5 * * * *":                    "a step that is not a number",
		"*/ * * * *":                      "a step that is not a number",
		"+5 * * * *":                      "a minute that is not one",
		"-5 * * * *":                      "a minute that is not one",
		"1-2-3 * * * *":                   "a minute that is not one",
		"*-5 * * * *":                     "a minute that is not one",
		"? * * * *":                       "a minute that is not one",
		"1,,2 * * * *":                    "an empty minute",
		"0 3, * * *":                      "an empty hour",
		"H * * * *":                       "write a number",
		"H/15 * * * *":                    "write a number",
		"H(0-29)/10 * * * *":              "write a number",
		"0~59 * * * *":                    "write a number",
		"0 0 3 ? * 2":                     "write * in place of ?, and the day by its name",
		"0 3 * * ? 2026":                  "a month that is not one",
		"0 0 3 * * ? 2026":                "7 fields",
		"*/5 * * * * * root true":         "number of fields: 8",
		"cron(0 10 * * ? *)":              "without the year",
		"rate(5 minutes)":                 "@every 5m",
		"* * * *":                         "number of fields: 4",
		"every 5 minutes":                 "number of fields: 3",
		"5m":                              "number of fields: 1",
		"@every_minute":                   "@every 30s",
		"@every 5 minutes":                "@every 30s",
		"@every 5":                        "@every 30s",
		"@fortnightly":                    "known: @hourly",
		"@daily 3":                        "write @daily alone",
		"CRON_TZ=Mars/X @daily":           "IANA",
		`TZ="UTC" @daily`:                 "without quotes",
		"TZ= @daily":                      "IANA",
		"TZ=Local @daily":                 "name the zone",
		"TZ=UTC":                          "is not a schedule",
		"0 0 30 2 *":                      "never fires",
		"0 0 30 2 */1":                    "never fires",
		"٣ 3 * * *":                       "a minute that is not one",
		"99999999999999999999999 * * * *": "a minute that is not one",
	} {
		s, err := ParseSchedule(line, nil)
		if err == nil {
			t.Errorf("%s is taken, and fires at %v", line, s.Next(time.Now()))
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q lacks %q", line, err, want)
		}
	}
}

// drawnField is a field with what it matches, made together.
type drawnField struct {
	text    string
	matches map[int]bool
}

// drawField draws a field of up to three parts. It counts out what each part means by
// the words of crontab(5): "*" is first to last, a range is inclusive, a step skips.
func drawField(random *rand.Rand, first, last int, names []string) drawnField {
	f := drawnField{matches: map[int]bool{}}
	write := func(n int) string {
		if len(names) > 0 && n < len(names) && random.IntN(2) == 0 {
			return names[n]
		}
		return fmt.Sprint(n)
	}
	var parts []string
	for range 1 + random.IntN(3) {
		low := first + random.IntN(last-first+1)
		high := low + random.IntN(last-low+1)
		step := 1 + random.IntN(last-first)
		switch random.IntN(5) {
		case 0:
			parts, low, high, step = append(parts, "*"), first, last, 1
		case 1:
			parts, low, high = append(parts, fmt.Sprintf("*/%d", step)), first, last
		case 2:
			parts, high, step = append(parts, write(low)), low, 1
		case 3:
			parts, step = append(parts, fmt.Sprintf("%d-%s", low, write(high))), 1
		default:
			parts = append(parts, fmt.Sprintf("%d-%d/%d", low, high, step))
		}
		for v := low; v <= high; v++ {
			if (v-low)%step == 0 {
				f.matches[v] = true
			}
		}
	}
	f.text = strings.Join(parts, ",")
	return f
}

// Random lines against an evaluator of its own: every minute of some days, around
// changes of the clock too, is looked at by its wall time alone. Broken by: a bothDays
// that is never set, a range of weekdays that ends at 6.
func TestScheduleMatchesBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	days := []string{"Sun", "MON", "tue", "Wed", "THU", "fri", "Sat"}
	months := []string{"", "jan", "FEB", "Mar", "apr", "MAY", "jun", "JUL", "aug", "sep", "oct", "nov", "DEC"}
	zones := []string{"UTC", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "America/Santiago",
		"Asia/Kathmandu"}
	fired := 0
	for range 250 {
		minute, hour := drawField(random, 0, 59, nil), drawField(random, 0, 23, nil)
		dom, month := drawField(random, 1, 31, nil), drawField(random, 1, 12, months)
		dow := drawField(random, 0, 7, days)
		dow.matches[0] = dow.matches[0] || dow.matches[7]
		line := strings.Join([]string{minute.text, hour.text, dom.text, month.text, dow.text}, " ")
		s, err := ParseSchedule(line, nil)
		if err != nil {
			if strings.Contains(err.Error(), "never fires") { // 30 February
				continue
			}
			t.Fatalf("%s: %v", line, err)
		}
		both := dom.text[0] == '*' || dow.text[0] == '*'
		zone, err := time.LoadLocation(zones[random.IntN(len(zones))])
		if err != nil {
			t.Fatal(err)
		}
		s.zone = zone
		start := at(t, clockChanges[random.IntN(len(clockChanges))])
		if random.IntN(2) == 0 {
			start = start.Add(time.Duration(random.IntN(400)) * 24 * time.Hour)
		}
		tick := s.Next(start)
		for now := start.Add(time.Minute); now.Before(start.Add(72 * time.Hour)); now = now.Add(time.Minute) {
			wall := now.In(zone)
			onDom, onDow := dom.matches[wall.Day()], dow.matches[int(wall.Weekday())]
			day := onDom || onDow
			if both {
				day = onDom && onDow
			}
			due := day && month.matches[int(wall.Month())] && hour.matches[wall.Hour()] && minute.matches[wall.Minute()]
			if due != tick.Equal(now) {
				t.Fatalf("%s in %s: %v is due: %v, but the next tick is %v", line, zone, wall, due, tick)
			}
			if due {
				fired++
				tick = s.Next(tick)
			}
		}
	}
	if fired < 5_000 {
		t.Errorf("only %d ticks were compared", fired)
	}
}

func TestUpcoming(t *testing.T) {
	s := schedule(t, "30 2 * * *", "Europe/Berlin")
	var got []string
	for _, tick := range s.Upcoming(at(t, "2026-03-28T00:00:00Z"), 3) {
		got = append(got, tick.Format(time.RFC3339))
	}
	want := "2026-03-28T02:30:00+01:00 2026-03-30T02:30:00+02:00 2026-03-31T02:30:00+02:00" // the 29th has no 02:30
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if ticks := schedule(t, "@every 1h", "Europe/Berlin").Upcoming(at(t, "2026-03-28T00:00:00Z"), 2); len(ticks) != 2 ||
		ticks[0].Format(time.RFC3339) != "2026-03-28T01:00:00Z" {
		t.Errorf("@every: %v", ticks)
	}
}
