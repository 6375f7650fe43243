package baseline

import (
	"fmt"
	"strconv"
	"strings"
)

// Version returns the version of a product in its value: its stock, to which each
// change adds one.
func Version(value string) (int64, error) {
	_, rest, found := strings.Cut(value, `"stock":`)
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if !found || digits < 1 {
		return 0, fmt.Errorf("no stock in %q", value)
	}
	return strconv.ParseInt(rest[:digits], 10, 64)
}
