package stream_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline/throughline/schema/stream"
)

// gauge is the value of the one series of a metric, or of the one with a label of that value.
func gauge(reg prometheus.Gatherer, name, label string) (float64, error) {
	families, err := reg.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == label {
					return m.GetGauge().GetValue(), nil
				}
			}
		}
	}
	return 0, fmt.Errorf("there is no %s of %s", name, label)
}

func TestLagMonitorTellsOfAGroupWithoutMembersThatIsBehind(t *testing.T) {
	t.Parallel()
	for _, broker := range brokers() {
		t.Run(broker.name, func(t *testing.T) {
			t.Parallel()
			cfg := broker.config(t)
			ensureTopics(t, cfg, specs(2))
			commitInitial(t, cfg, "sink", inputs)
			put(t, cfg, inputs, 1, 0, 7)
			commitAt(t, cfg, 1, 4)
			reg := prometheus.NewRegistry()
			d := deps(t)
			d.Reg = reg
			w, err := stream.NewOffsetWatch(cfg, d)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Close)
			m := stream.NewLagMonitor(w, []stream.GroupTopic{{Group: "sink", Topic: inputs}}, 10*time.Millisecond)
			done := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			defer func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}()
			go func() { done <- m.Run(ctx) }()
			eventually(t, 30*time.Second, func() (string, bool) {
				behind, age, members, err := measured(reg)
				return fmt.Sprintf("%g offsets, %g s, %g members, %v", behind, age, members, err),
					err == nil && behind == 3 && age > 0 && members == 0
			})
			commitAt(t, cfg, 1, 7)
			eventually(t, 30*time.Second, func() (string, bool) {
				behind, age, _, err := measured(reg)
				return fmt.Sprintf("%g offsets, %g s, %v", behind, age, err), err == nil && behind == 0 && age == 0
			})
		})
	}
}

// measured is what the monitor says of partition 1 and the group "sink".
func measured(reg prometheus.Gatherer) (behind, age, members float64, err error) {
	behind, err1 := gauge(reg, "throughline_stream_group_lag_offsets", "1")
	age, err2 := gauge(reg, "throughline_stream_group_lag_seconds", "1")
	members, err3 := gauge(reg, "throughline_stream_group_members", "sink")
	return behind, age, members, errors.Join(err1, err2, err3)
}
