package web

import (
	"github.com/throughline/throughline/schema/position"
	"github.com/throughline/throughline/schema/problem"
)

// MaxPositions bounds how many positions one read may name. A session that wrote more than that has them merged by time:
// only the newest of a partition counts.
const MaxPositions = 32

// Positions reads the positions that a read names, and gives what they cover together. An error is a 400.
func Positions(texts []string, workspace string) (position.Position, error) {
	var covered position.Position
	if len(texts) > MaxPositions {
		return covered, problem.Newf(problem.BadPosition, "A read may name %d positions.", MaxPositions)
	}
	for _, text := range texts {
		p, err := position.Parse(text, workspace)
		if err != nil {
			return covered, problem.New(problem.BadPosition, "").WithCause(err)
		}
		covered.Merge(p)
	}
	return covered, nil
}
