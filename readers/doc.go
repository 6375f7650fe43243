// Package readers holds what API nodes read warm keys with: python, go and node, each to be used as it is or copied.
// Its tests hold all three to one file of cases, conformance.json.
package readers
