// Package readers holds what API nodes read warm keys with: python, go and node, each to be used as it is or copied.
// Its tests hold all three to one file of cases, conformance.json.
package readers

import _ "embed"

// Python is the source of the Python reader, and Demo that of the node that `stoker demo` starts with it.
//
//go:embed python/stoker_reader.py
var Python string

// Demo is a FastAPI application on the module stoker_reader.
//
//go:embed python/demo.py
var Demo string
