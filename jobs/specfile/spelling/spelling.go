// Package spelling finds the word that a misspelt one was meant to be.
package spelling

import "strings"

// Nearest returns the name that s was probably meant to be, or "".
func Nearest(s string, names []string) string {
	best, bestDistance := "", max(min(len(s)/3+2, len(s)-1), 2)
	for _, name := range names {
		if d := Distance(strings.ToLower(s), name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// Distance counts the letters to add, drop or change between a and b.
func Distance(a, b string) int {
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
