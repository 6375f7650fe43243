package encode

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	vmsgpack "github.com/vmihailenco/msgpack/v5"

	"github.com/stokerhq/stoker/store"
)

// scoreTypes are the types that the score of a ranking may have: int2, int4, int8, float4, float8, numeric.
var scoreTypes = []uint32{21, 23, 20, 700, 701, 1700}

// Ranking encodes rows as the members of Redis sorted sets. It is safe for concurrent use.
type Ranking struct{ member, score Append }

// NewRanking prepares the encoding of rows with two columns: member, and score.
func NewRanking(cols []store.Column) (*Ranking, error) {
	if len(cols) != 2 {
		return nil, fmt.Errorf("a ranking has the columns member and score, not %d", len(cols))
	}
	if !slices.Contains(scoreTypes, cols[1].OID) {
		return nil, fmt.Errorf("column %s of type %s is no score: it must be a number, as %s::double precision",
			cols[1].Name, cols[1].Type, cols[1].Name)
	}
	var r Ranking
	for i, part := range []*Append{&r.member, &r.score} {
		text, ok := KeyText(cols[i].OID)
		if !ok {
			return nil, fmt.Errorf("column %s of type %s has no text", cols[i].Name, cols[i].Type)
		}
		*part = text
	}
	return &r, nil
}

// AppendRow appends one msgpack array of score and member, which a script of Redis can unpack. The score is as a
// 64-bit float has it, which is what Redis keeps. A row without a member or a score, and one whose score is not a
// number, has no place in a ranking: its array is empty.
func (r *Ranking) AppendRow(dst []byte, row store.Row) ([]byte, error) {
	if len(row) != 2 {
		return dst, fmt.Errorf("row has %d cells, not 2", len(row))
	}
	if row[0] == nil || row[1] == nil {
		return msgpack{}.list(dst, 0), nil
	}
	text, err := r.score(nil, row[1])
	if err != nil {
		return dst, &columnError{column: "score", err: err}
	}
	score, err := strconv.ParseFloat(string(text), 64) // out of range: infinite, as Redis has it
	if math.IsNaN(score) {
		return msgpack{}.list(dst, 0), nil
	}
	if err != nil && !math.IsInf(score, 0) {
		return dst, &columnError{column: "score", err: err}
	}
	member, err := r.member(nil, row[0])
	if err != nil {
		return dst, &columnError{column: "member", err: err}
	}
	dst = packText(msgpack{}, msgpack{}.list(dst, 2), strconv.AppendFloat(nil, score, 'g', -1, 64))
	return packText(msgpack{}, dst, member), nil
}

// ReadRanking reads a list of such rows. Of rows with one member the last counts, as in Redis.
func ReadRanking(value []byte) (map[string]float64, error) {
	var rows [][]string
	if err := vmsgpack.Unmarshal(value, &rows); err != nil {
		return nil, fmt.Errorf("read a ranking: %w", err)
	}
	scores := make(map[string]float64, len(rows))
	for _, row := range rows {
		if len(row) != 2 {
			continue
		}
		score, err := strconv.ParseFloat(row[0], 64)
		if err != nil {
			return nil, fmt.Errorf("read a ranking: %w", err)
		}
		scores[row[1]] = score
	}
	return scores, nil
}
