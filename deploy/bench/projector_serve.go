package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/throughline/throughline/deploy/assembly"
	"github.com/throughline/throughline/projector"
	"github.com/throughline/throughline/schema/run"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// insertSeconds is the metric that counts the projector's inserts; several batches may share one.
const insertSeconds = "throughline_projector_insert_seconds"

// stored is what a server has put into tables, and what it used for that.
type stored struct {
	Rows int64 `json:"rows"`
	// Inserts are the blocks in which they came.
	Inserts    int64         `json:"inserts"`
	Took       time.Duration `json:"took"`
	CPU        time.Duration `json:"cpu"`
	Mallocs    uint64        `json:"mallocs"`
	AllocBytes uint64        `json:"allocBytes"`
	Peak       uint64        `json:"peak"`
	// Server is the processor time of ClickHouse meanwhile.
	Server time.Duration `json:"server"`
}

// usedNow is what this process has used so far.
func usedNow() (stored, error) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := stored{Mallocs: m.Mallocs, AllocBytes: m.TotalAlloc}
	var err, err2 error
	s.CPU, err = processorTime()
	_, s.Peak, err2 = residentMemory()
	return s, errors.Join(err, err2)
}

// since is what was used between two moments.
func (s stored) since(before stored, rows int64, took time.Duration) stored {
	return stored{
		Rows: rows, Took: took, CPU: s.CPU - before.CPU, Mallocs: s.Mallocs - before.Mallocs,
		AllocBytes: s.AllocBytes - before.AllocBytes, Peak: s.Peak,
	}
}

// serveProjector is a projector in a process of its own.
func serveProjector(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) (err error) {
	master, err := benchMaster()
	if err != nil {
		return err
	}
	conn, err := store.Open(ctx, s.Store, store.ReadWrite)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	kafka := stream.Config{Brokers: s.Brokers, ClientID: "throughline", Prefix: s.Prefix}
	reg := run.NewRegistry()
	producer, err := stream.NewProducer(kafka, stream.ProducerConfig{}, stream.Deps{Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, producer.Close(context.WithoutCancel(ctx))) }()
	cfg := projector.DefaultConfig()
	cfg.Dir = filepath.Join(s.Dir, "keys")
	service, err := projector.New(cfg, projector.Deps{
		Kafka: kafka, Producer: producer, Store: conn, Master: master, Log: log, Reg: reg,
	})
	if err != nil {
		return err
	}
	control := http.NewServeMux()
	control.HandleFunc("POST /project", func(w http.ResponseWriter, r *http.Request) {
		answerStored(w, r, func(ctx context.Context, rows int64) (stored, error) {
			before, err := measured(reg, insertSeconds)
			if err != nil {
				return stored{}, err
			}
			s, err := watched(ctx, rows, func() (int64, error) { return measured(reg, "throughline_projector_rows_total") })
			after, err2 := measured(reg, insertSeconds)
			s.Inserts = after - before
			return s, errors.Join(err, err2)
		})
	})
	control.HandleFunc("POST /rebuild", func(w http.ResponseWriter, r *http.Request) {
		answerStored(w, r, func(ctx context.Context, _ int64) (stored, error) {
			// The metrics are the running projector's.
			deps := projector.Deps{Kafka: kafka, Producer: producer, Store: conn, Master: master, Log: log}
			return rebuilt(ctx, cfg, deps)
		})
	})
	front, err := listen(ctx, log, nil, control, stdout)
	if err != nil {
		return err
	}
	back := []run.Service{{Name: "projector", Run: service.Run}}
	return ended(assembly.Serve(ctx, log, assembly.Stop{Front: 5 * time.Second, Back: 30 * time.Second}, front, back))
}

// answerStored answers with what happens until as many rows are there as the request says.
func answerStored(w http.ResponseWriter, r *http.Request, work func(context.Context, int64) (stored, error)) {
	rows, err := strconv.ParseInt(r.URL.Query().Get("rows"), 10, 64)
	if err == nil {
		// A busy machine may take longer than a server lets an answer take.
		err = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
	var s stored
	if err == nil {
		s, err = work(r.Context(), rows)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, s)
}

// watched measures from the first rows, so that joining the groups does not count, to the last.
func watched(ctx context.Context, rows int64, count func() (int64, error)) (stored, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var before stored
	var began time.Time
	var first int64
	for {
		n, err := count()
		if err != nil {
			return stored{}, err
		}
		if n > 0 && first == 0 {
			first, began = n, time.Now()
			if before, err = usedNow(); err != nil {
				return stored{}, err
			}
		}
		if n >= rows {
			took := time.Since(began)
			after, err := usedNow()
			return after.since(before, n-first, took), err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return stored{}, fmt.Errorf("wait for rows, have %d of %d: %w", n, rows, ctx.Err())
		}
	}
}

// inserter is the limit: the rows that the projector made, in memory and by column, inserted by the client library.
type inserter struct {
	spec   spec
	blocks map[string][]*table.Block
}

func serveInsert(ctx context.Context, s spec, log *slog.Logger, stdout io.Writer) error {
	i := &inserter{spec: s}
	if err := i.load(ctx); err != nil {
		return err
	}
	control := http.NewServeMux()
	control.HandleFunc("POST /insert", func(w http.ResponseWriter, r *http.Request) {
		answerStored(w, r, func(ctx context.Context, _ int64) (stored, error) {
			return i.insert(ctx, r.URL.Query().Get("database"))
		})
	})
	services, err := listen(ctx, log, nil, control, stdout)
	if err != nil {
		return err
	}
	return ended(run.Group{Log: log}.Run(ctx, services...))
}

// load reads the rows back from the tables that the projector filled.
func (i *inserter) load(ctx context.Context) error {
	conn, err := store.Open(ctx, i.spec.Store, store.ReadWrite)
	if err != nil {
		return err
	}
	i.blocks = map[string][]*table.Block{}
	timeline, err := readBlocks(ctx, conn, table.Timeline, i.spec.Block, timelineFields)
	i.blocks[table.Timeline] = timeline
	if err == nil {
		i.blocks[table.EventLog], err = readBlocks(ctx, conn, table.EventLog, i.spec.Block, func(r *table.EventLogRow) []any {
			return []any{
				&r.Workspace, &r.ReceivedAt, &r.EventID, &r.Status, &r.Reason, &r.Name, &r.Icon, &r.ObjectType, &r.ObjectID,
				&r.ExternalID, &r.OccurredAt, &r.Links, &r.Missing, &r.Submission, &r.StoredAt,
				&r.From.Topic, &r.From.Partition, &r.From.Offset, &r.From.Row,
			}
		})
	}
	return errors.Join(err, conn.Close())
}

// timelineFields are where the columns of a row go.
func timelineFields(r *table.TimelineRow) []any {
	return []any{
		&r.Workspace, &r.ObjectType, &r.ObjectID, &r.OccurredAt, &r.EventID, &r.PrimaryType, &r.PrimaryID, &r.Kind, &r.Link, &r.Via,
		&r.Name, &r.Description, &r.Words, &r.Icon, &r.Source, &r.Payload, &r.Transition, &r.ReceivedAt, &r.StoredAt,
		&r.From.Topic, &r.From.Partition, &r.From.Offset, &r.From.Row,
	}
}

// readBlocks reads a table in the order of the log.
func readBlocks[R any, P interface {
	*R
	table.Row
}](ctx context.Context, conn store.Conn, name string, size int, fields func(*R) []any) (blocks []*table.Block, err error) {
	columns := table.Columns(P(new(R)))
	rows, err := conn.Query(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+name+" ORDER BY _partition, _offset, _row")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r R
		if err := rows.Scan(fields(&r)...); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if last := len(blocks) - 1; last < 0 || blocks[last].Rows() >= size {
			blocks = append(blocks, &table.Block{})
		}
		blocks[len(blocks)-1].Add(P(&r))
	}
	return blocks, rows.Err()
}

// insert puts all rows into empty tables, one block of each table at a time.
func (i *inserter) insert(ctx context.Context, database string) (stored, error) {
	to := i.spec.Store
	to.Database = database
	conn, err := store.Open(ctx, to, store.ReadWrite)
	if err != nil {
		return stored{}, err
	}
	before, err := usedNow()
	if err != nil {
		return stored{}, errors.Join(err, conn.Close())
	}
	began := time.Now()
	errs := make(chan error, len(i.blocks))
	var wg sync.WaitGroup
	var rows int64
	inserts := 0
	for name, blocks := range i.blocks {
		inserts += len(blocks)
		for _, b := range blocks {
			rows += int64(b.Rows())
		}
		wg.Go(func() { errs <- insertBlocks(ctx, conn, name, blocks) })
	}
	wg.Wait()
	took := time.Since(began)
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	after, err2 := usedNow()
	s := after.since(before, rows, took)
	s.Inserts = int64(inserts)
	return s, errors.Join(err, err2, conn.Close())
}

func insertBlocks(ctx context.Context, conn store.Conn, name string, blocks []*table.Block) error {
	for _, b := range blocks {
		insert, err := conn.PrepareBatch(ctx, b.Insert(name))
		if err != nil {
			return fmt.Errorf("insert into %s: %w", name, err)
		}
		if err := b.AppendTo(insert); err != nil {
			return fmt.Errorf("insert into %s: %w", name, err)
		}
		if err := insert.Send(); err != nil {
			return fmt.Errorf("insert into %s: %w", name, err)
		}
	}
	return nil
}
