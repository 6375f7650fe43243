package jobs

import "strings"

// didYouMean returns a hint: the name that s was probably meant to be, or all of
// them when none is near.
func didYouMean(s string, names []string) string {
	if best := nearest(s, names); best != "" {
		return `did you mean "` + best + `"?`
	}
	return "known: " + strings.Join(names, ", ")
}

// nearest returns the name that s was probably meant to be, or "".
func nearest(s string, names []string) string {
	best, bestDistance := "", len(s)/3+2
	for _, name := range names {
		if d := distance(strings.ToLower(s), name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the letters to add, drop or change between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
