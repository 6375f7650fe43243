// Package feed is what a change feed yields: which keys of which jobs committed row changes make
// out of date (Effect), and where a feed begins to read (Start). It has no connection of its own.
package feed
