// Package jobs is the vocabulary: what is kept warm (Spec, Job, KeyTemplate,
// Schedule), what can be wrong with it (Problem), and how work travels on the
// queue (task types and payloads, both ends in one file). It is a leaf: it
// imports no other package of ours.
package jobs
