//go:build race

package checker

func raceFlag() []string { return []string{"-race"} }
