package field

import (
	"strings"
	"unicode"
)

// cron is the pattern of a schedule: @every and a duration, a name, or five or six fields of the values that each
// may have. That a range does not end before it begins, and that some time matches, is the parser's to find.
var cron = re(`^` + blank + `*(@` + anyCase("every") + ` ` + blank + `*(\+?(` + unit + `)+|` + days + `)` +
	`|((CRON_)?TZ=` + word + blank + `+)?(@(` + anyCase("yearly|annually|monthly|weekly|daily|midnight|hourly") + `)` +
	`|(` + cronField(sixtieth, "") + blank + `+)?` + cronField(sixtieth, "") + // second, minute
	blank + `+` + cronField(`(1?[0-9]|2[0-3])`, "") + // hour
	blank + `+` + cronField(`([1-9]|[12][0-9]|3[01])`, "", `\?`) + // day of the month
	blank + `+` + cronField(`([1-9]|1[0-2])`, "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec") +
	blank + `+` + cronField(`[0-7]`, "sun|mon|tue|wed|thu|fri|sat", `\?`) +
	`))` + blank + `*$`)

const sixtieth = `[1-5]?[0-9]`

// cronField is the pattern of a field: parts separated by commas, each a star, a value or a range, and a step.
func cronField(number, names string, stars ...string) string {
	value := `0*` + number
	if names != "" {
		value = `(` + value + `|` + anyCase(names) + `)`
	}
	part := `(` + strings.Join(append(stars, `\*`), `|`) + `|` + value + `(-` + value + `)?)(/0*[1-9][0-9]*)?`
	return part + `(,` + part + `)*`
}

// anyCase is a pattern that letters of both cases match.
func anyCase(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsLower(r) {
			b.WriteString(`[` + string(unicode.ToUpper(r)) + string(r) + `]`)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
