package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/topic"
	"github.com/throughline/throughline/schema/webhook"
)

// fill keeps the table of deliveries up to date as the projector does, under its group, until the test ends. What is
// sealed or only shown is left out.
func (w *world) fill() {
	w.t.Helper()
	db := schematest.ClickHouse(w.t)
	w.tables = store.Config{Addr: db.Addr, Database: db.Database, User: db.ReadUser, Password: db.ReadPassword}
	write := w.tables
	write.User, write.Password = db.User, db.Password
	conn, err := store.Open(w.t.Context(), write, store.ReadWrite)
	if err == nil {
		_, err = store.Migrate(w.t.Context(), conn, table.Migrations(), nil)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	group, topics := table.Group(table.WebhookAttempts), []topic.Name{topic.WebhookDeliveries, topic.WebhookAttempts}
	deps := stream.Deps{Log: slog.New(slog.DiscardHandler)}
	if err := stream.CommitInitialOffsets(w.t.Context(), w.kafka, deps, group, topics); err != nil {
		w.t.Fatal(err)
	}
	c, err := stream.NewConsumer(w.kafka, stream.ConsumerConfig{Group: group, Topics: topics, FetchMaxWait: 50 * time.Millisecond}, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := project(ctx, w.kafka, c, conn); err != nil && !errors.Is(err, context.Canceled) {
				w.t.Errorf("fill tables: %v", err)
				return
			}
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
		c.Close()
		_ = conn.Close()
	})
}

func project(ctx context.Context, kafka stream.Config, c *stream.Consumer, conn store.Conn) error {
	polled, err := c.Poll(ctx)
	if err != nil {
		return err
	}
	defer c.AllowRebalance()
	var rows table.Block
	commits := map[stream.TopicPartition]stream.Commit{}
	for _, b := range polled.Batches {
		commits[b.TopicPartition] = stream.Commit{Offset: b.To}
		for _, r := range b.Records {
			if row := rowOf(kafka, r); row != nil {
				rows.Add(row)
			}
		}
	}
	if rows.Rows() > 0 {
		insert, err := conn.PrepareBatch(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0})),
			rows.Insert(table.WebhookAttempts))
		if err == nil {
			err = errors.Join(rows.AppendTo(insert), insert.Send())
		}
		if err != nil {
			return err
		}
	}
	if len(commits) == 0 {
		return nil
	}
	if err := c.Commit(ctx, commits); err != nil && !errors.Is(err, stream.ErrRebalanced) {
		return err
	}
	return nil
}

func rowOf(kafka stream.Config, r *stream.Record) *table.WebhookAttemptRow {
	row := &table.WebhookAttemptRow{
		NextAt: time.UnixMilli(0), Timing: "{}", RequestHeaders: "{}", ResponseHeaders: "{}", StoredAt: r.Timestamp,
		From: table.Source{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset},
	}
	if r.Topic == kafka.Topic(topic.WebhookDeliveries) {
		d, err := webhook.ParseDelivery(r.Value)
		if err != nil || d.Again {
			return nil
		}
		row.Workspace, row.EndpointID, row.DeliveryID, row.Type, row.Event = d.Workspace, d.Endpoint, d.ID, d.Type, d.Event
		row.PlannedAt, row.At, row.Status = d.PlannedAt.Time, d.PlannedAt.Time, string(webhook.Pending)
		return row
	}
	a, err := webhook.ParseAttempt(r.Value)
	if err != nil {
		return nil
	}
	row.Workspace, row.EndpointID, row.DeliveryID, row.Type, row.Event = a.Workspace, a.Endpoint, a.Delivery, a.Type, a.Event
	row.PlannedAt, row.At, row.Status, row.Outcome = a.PlannedAt.Time, a.At.Time, string(a.Status), string(a.Outcome)
	row.Attempt = int32(a.Number)
	return row
}

// known waits until the tables know as many deliveries of the endpoint crm as wanted to stand somewhere.
func (w *world) known(t *testing.T, s *Service, status webhook.Status, want int) {
	t.Helper()
	w.eventually("the tables know them", func() bool {
		h := s.history.Load()
		if h == nil {
			return false
		}
		n := 0
		err := h.read(t.Context(), `SELECT count() FROM (SELECT `+statusOf+` AS state FROM `+table.WebhookAttempts+`
			WHERE endpoint_id = {id:String} GROUP BY delivery_id) WHERE state = {state:String}`, func(scan func(...any) error) error {
			var count uint64
			err := scan(&count)
			n = int(count)
			return err
		}, clickhouse.Named("id", "crm"), clickhouse.Named("state", string(status)))
		return err == nil && n == want
	})
}
