package bench

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/schema/table"
)

// aimRebuild is how much of the projector's rows a second a rebuild has to reach.
const aimRebuild = 0.90

// rebuilt makes the tables of events again, beside those in use. Only the time in which rows are made and inserted counts.
func rebuilt(ctx context.Context, cfg projector.Config, deps projector.Deps) (s stored, err error) {
	done, err := projector.Rebuild(ctx, cfg, deps, []string{table.Timeline, table.EventLog}, nil)
	for _, t := range done {
		s.Rows += t.Rows
		s.Took += time.Duration(t.Seconds * float64(time.Second))
	}
	return s, err
}

// rebuild measures rows a second of a rebuild beside those that the projector made of the same log.
func (s *systemBench) rebuild(ctx context.Context) error {
	s.say("a rebuild, load %s", loadAverage())
	var made stored
	if err := s.project.ask(ctx, http.MethodPost, "/rebuild?rows=0", &made); err != nil {
		return err
	}
	if made.Rows == 0 || made.Took == 0 {
		return fmt.Errorf("a rebuild made %d rows in %s", made.Rows, made.Took)
	}
	s.sum.add(Measure{
		Part: "rebuild", Name: "timeline and event_log, one after the other", Unit: "rows/s", Ours: float64(made.Rows) / made.Took.Seconds(),
		Limit: s.projected, By: "the projector made the same rows, alone", Aim: aimRebuild,
	})
	return nil
}
