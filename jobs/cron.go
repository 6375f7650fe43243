package jobs

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// cronLine is what a cron line asks for.
type cronLine struct {
	*cron.SpecSchedule // the values of each field, as bits
	// bothDays: one of the day fields begins with *, so that both must match. Otherwise
	// either is enough.
	bothDays bool
	zone     *time.Location // nil: the line names none
}

// cronField is one of the fields of a line.
type cronField struct {
	name     string
	min, max int
	names    string // three letters each, from min on
}

var (
	secondField = cronField{name: "second", max: 59}
	minuteField = cronField{name: "minute", max: 59}
	hourField   = cronField{name: "hour", max: 23}
	domField    = cronField{name: "day of the month", min: 1, max: 31}
	monthField  = cronField{name: "month", min: 1, max: 12, names: "janfebmaraprmayjunjulaugsepoctnovdec"}
	dowField    = cronField{name: "day of the week", max: 6, names: "sunmontuewedthufrisat"}
)

// descriptors are the names of common lines.
var descriptors = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// fieldParser turns the fields, written as robfig/cron knows them, into bits.
var fieldParser = cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

const cronHint = `write 5 or 6 fields as in "*/5 * * * *", @hourly, @daily or "@every 30s"`

// parseCron reads a line as crontab(5) does, with the seconds in front where there
// are 6 fields. What other schedulers write is named, with how it is written here. What
// is left is parsed by robfig/cron, in the words that it knows: 7 is no day to it, and
// a step takes the star off */2.
func parseCron(text string) (*cronLine, error) {
	words := strings.Fields(text)
	zone, words, err := cutZone(words)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, wrong("is not a schedule", cronHint)
	}
	if strings.HasPrefix(words[0], "@") {
		if words, err = describedLine(words); err != nil {
			return nil, err
		}
	}
	if err := countFields(words); err != nil {
		return nil, err
	}
	if len(words) == 5 {
		words = append([]string{"0"}, words...)
	}
	line := &cronLine{zone: zone, bothDays: beginsWithStar(words[3]) || beginsWithStar(words[5])}
	if strings.Contains(words[3]+words[5], "?") && strings.ContainsAny(words[5], "0123456789") {
		return nil, wrong("has a ? beside a day of the week in digits, and where ? is known 1 is Sunday",
			"write * in place of ?, and the day by its name: MON")
	}
	for i, field := range []cronField{secondField, minuteField, hourField, domField, monthField, dowField} {
		if words[i], err = field.rewrite(words[i]); err != nil {
			return nil, err
		}
	}
	if line.SpecSchedule, err = parseFields(strings.Join(words, " ")); err != nil {
		return nil, err
	}
	return line, nil
}

func parseFields(text string) (*cron.SpecSchedule, error) {
	parsed, err := fieldParser.Parse(text)
	if err != nil {
		return nil, &Mistake{Message: "is not a schedule", Detail: err.Error(), Hint: cronHint}
	}
	fields, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, wrong("is not a schedule", cronHint)
	}
	return fields, nil
}

func beginsWithStar(field string) bool {
	return strings.HasPrefix(field, "*") || strings.HasPrefix(field, "?")
}

// cutZone takes a leading CRON_TZ= or TZ= off.
func cutZone(words []string) (*time.Location, []string, error) {
	if len(words) == 0 {
		return nil, words, nil
	}
	name, has := strings.CutPrefix(words[0], "CRON_TZ=")
	if !has {
		name, has = strings.CutPrefix(words[0], "TZ=")
	}
	if !has {
		return nil, words, nil
	}
	zone, err := time.LoadLocation(name)
	switch {
	case name == "Local":
		return nil, nil, wrong("is in the time zone Local, which is another one on another machine",
			"name the zone, as in Europe/Berlin")
	case name == "" || err != nil:
		return nil, nil, &Mistake{Message: "is in an unknown time zone", Detail: name,
			Hint: "use an IANA name such as Europe/Berlin, or UTC, without quotes"}
	}
	return zone, words[1:], nil
}

// describedLine returns the fields that @daily and the like stand for.
func describedLine(words []string) ([]string, error) {
	name := strings.ToLower(words[0])
	line, known := descriptors[name]
	switch {
	case strings.HasPrefix(name, "@every"):
		return nil, wrong("gives @every a time zone", "@every has none: remove it")
	case name == "@reboot":
		return nil, wrong("is @reboot, and the start of a daemon is no time to warm a shared cache",
			"leave the schedule out: the job is then run once if it has never been run, and by `stoker warm JOB`")
	case !known:
		return nil, &Mistake{Message: "is not a schedule", Detail: "unknown name " + words[0],
			Hint: "known: @hourly, @daily, @midnight, @weekly, @monthly, @yearly, and @every 30s"}
	case len(words) > 1:
		return nil, wrong("has more behind "+name, "write "+name+" alone")
	}
	return strings.Fields(line), nil
}

func countFields(words []string) error {
	first := strings.ToLower(words[0])
	switch n := len(words); {
	case strings.HasPrefix(first, "cron("):
		return wrong("is wrapped in cron( )", "write the five fields alone, without the year, and * in place of ?")
	case strings.HasPrefix(first, "rate("):
		return wrong("is wrapped in rate( )", "write @every and a duration: @every 5m")
	case n == 7:
		return wrong("has 7 fields", "write 6, from the second to the day of the week, without a year or user")
	case n != 5 && n != 6:
		return &Mistake{Message: "is not a schedule", Detail: fmt.Sprintf("number of fields: %d", n), Hint: cronHint}
	}
	return nil
}

// rewrite checks a field, which has parts separated by commas, and returns it in numbers.
func (f cronField) rewrite(text string) (string, error) {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		numbers, err := f.rewritePart(part)
		if err != nil {
			return "", err
		}
		parts = append(parts, numbers...)
	}
	return strings.Join(parts, ","), nil
}

// rewritePart checks *, a value or a range, each also with a step, and returns the ranges it stands for.
func (f cronField) rewritePart(part string) ([]string, error) {
	if err := f.foreign(part); err != nil {
		return nil, err
	}
	span, stepText, stepped := strings.Cut(part, "/")
	step := 1
	var err error
	if stepped {
		if step, err = f.step(stepText); err != nil {
			return nil, err
		}
	}
	low, high := f.min, f.max
	from, to, isRange := strings.Cut(span, "-")
	switch {
	case span == "*", span == "?" && (f.name == domField.name || f.name == dowField.name):
	case isRange:
		low, high, err = f.span(from, to)
	default:
		if low, err = f.value(from); err == nil && !stepped {
			high = low
		}
		high = max(high, low) // 7/2: Sunday alone
	}
	if err != nil {
		return nil, err
	}
	return f.ranges(low, high, step), nil
}

// ranges writes a range with a step. The day after Saturday is 7 here and 0 to the parser.
func (f cronField) ranges(low, high, step int) (list []string) {
	if f.name == dowField.name && high == 7 {
		if (high-low)%step == 0 {
			list = append(list, "0")
		}
		high = 6
	}
	if low <= high {
		list = append(list, fmt.Sprintf("%d-%d/%d", low, high, step))
	}
	return list
}

// span reads the ends of a range. Sunday at the end of one comes after Saturday.
func (f cronField) span(from, to string) (low, high int, err error) {
	if low, err = f.value(from); err != nil {
		return 0, 0, err
	}
	if high, err = f.value(to); err != nil {
		return 0, 0, err
	}
	last := f.max
	if f.name == dowField.name {
		last = 7
		if strings.EqualFold(to, "sun") && low > 0 {
			high = 7
		}
	}
	if low <= high {
		return low, high, nil
	}
	hint := "write two ranges: " + printSpan(low, last)
	switch {
	case last == 7 && low == 7: // Sunday to another day
		hint = "write " + printSpan(0, high)
	case last == 7 && high > 0:
		hint += "," + printSpan(1, high)
	case last == 7:
		hint = "write " + printSpan(low, last)
	default:
		hint += "," + printSpan(f.min, high)
	}
	return 0, 0, &Mistake{Message: "has a range that ends before it begins, as its " + f.name, Detail: from + "-" + to,
		Hint: hint}
}

func printSpan(low, high int) string {
	if low == high {
		return strconv.Itoa(low)
	}
	return fmt.Sprintf("%d-%d", low, high)
}

// step reads what follows a /. One that is longer than the field fires once a round,
// which nobody means who writes */90 for 90 minutes.
func (f cronField) step(text string) (int, error) {
	n, ok := digits(text)
	size := f.max - f.min + 1
	switch {
	case !ok:
		return 0, &Mistake{Message: "has a step that is not a number", Detail: text, Hint: "write it as in */5"}
	case n == 0:
		return 0, wrong("has a step of 0", "write */1 or * for each, or a larger step")
	case n > size:
		return 0, &Mistake{Message: fmt.Sprintf("has a step longer than the %d values of the %s", size, f.name),
			Detail: text, Hint: "write @every and a duration, as in @every 90m"}
	}
	return n, nil
}

// value reads a number or a name.
func (f cronField) value(text string) (int, error) {
	if n, ok := digits(text); ok {
		return n, f.inRange(n, text)
	}
	if at := strings.Index(f.names, strings.ToLower(text)); len(text) == 3 && at >= 0 && at%3 == 0 {
		return f.min + at/3, nil
	}
	m := &Mistake{Message: "has " + f.one() + " that is not one", Detail: text, Hint: "write " + f.examples()}
	if len(text) > 3 {
		if _, err := f.value(text[:3]); err == nil {
			m.Hint = "write the first three letters: " + strings.ToUpper(text[:3])
		}
	}
	return 0, m
}

func (f cronField) inRange(n int, text string) error {
	last, hint := f.max, "write "+f.examples()
	switch {
	case f.name == dowField.name:
		last = 7
	case n == f.max+1 && f.min == 0: // hour 24, minute 60
		hint = "write 0, which begins the next round"
	}
	if n < f.min || n > last {
		return &Mistake{Message: fmt.Sprintf("has %s outside %d to %d", f.one(), f.min, last), Detail: text, Hint: hint}
	}
	return nil
}

// one is the field's name with its article.
func (f cronField) one() string {
	if f.name == hourField.name {
		return "an hour"
	}
	return "a " + f.name
}

func (f cronField) examples() string {
	switch f.name {
	case monthField.name:
		return "1 to 12, or JAN to DEC"
	case dowField.name:
		return "0 to 7, where 0 and 7 are Sunday, or SUN to SAT"
	}
	return fmt.Sprintf("%d to %d, as in 5, 1-5, 1,5 or */5", f.min, f.max)
}

// digits reads a number without a sign.
func digits(s string) (int, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// foreign names what Quartz, Jenkins and others know, and crontab does not.
func (f cronField) foreign(part string) error {
	up := strings.ToUpper(part)
	isDay := f.name == domField.name || f.name == dowField.name
	mistake := func(what, hint string) error {
		return &Mistake{Message: "has " + what + " as its " + f.name + ", which cron does not know", Detail: part,
			Hint: hint}
	}
	switch {
	case part == "":
		return wrong("has an empty "+f.name, "write "+f.examples()+", with no comma at its ends")
	case strings.Contains(up, "#"):
		return mistake("# (the second Friday of a month, and the like)",
			"write the day alone, FRI: a run more is cheap, and skipped while nothing is committed")
	case strings.Contains(up, "~"), up == "R", up == "H", strings.HasPrefix(up, "H/"), strings.HasPrefix(up, "H("):
		return mistake("a value that is drawn (H, R, ~)", "write a number, such as 17")
	case isDay && (up == "L" || strings.HasPrefix(up, "L-") || up == "LW" || len(up) > 1 && strings.HasSuffix(up, "L")):
		return mistake("L (the last)",
			"write 28-31 as the day of the month, or the weekday alone, FRI: a run more is cheap, and skipped while "+
				"nothing is committed")
	case f.name == domField.name && strings.HasSuffix(up, "W"):
		return mistake("W (the nearest weekday)", "write * as the day of the month, and MON-FRI as the day of the week")
	}
	return nil
}
