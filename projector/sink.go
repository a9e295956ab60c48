package projector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/table"
)

// queryRuns is ClickHouse's QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: an insert of this batch, by us or by a former owner
// of the partition, is still on its way.
const queryRuns = 216

// maxUnproven bounds how often a batch is inserted without an error and then not found.
const maxUnproven = 5

// ErrInsert says that ClickHouse refuses a batch for a reason that no retry heals.
var ErrInsert = errors.New("clickhouse refuses the batch, and no retry can heal it: check its log, run `throughline migrate`, and start the projector again")

// sink puts batches into one table, each exactly once.
type sink struct {
	conn    store.Conn
	p       projections.Projection
	timeout time.Duration
	log     *slog.Logger
	metrics *metrics
	// trouble is told why a batch waits, and nil once it does not wait any more.
	trouble func(error)
}

// put inserts a batch and returns once its rows are known to be in the table, or the context has ended. known says that
// nobody can have inserted any of it: its intent was committed by this process a moment ago. After anything
// unexpected the table is asked first, and only then is the same batch sent again, under the same token.
//
// Where only a part is there, only the rest is sent, under the same token: the server keeps tokens by partition of the
// table, and an insert is atomic within one. So it is right whether the server still knows the token of the part
// that is there or not, and a former owner's late insert of the whole batch is dropped in both.
func (k *sink) put(ctx context.Context, b *batch, known bool) error {
	if b.rows() == 0 {
		return nil
	}
	waits := 0.0
	defer func() { k.metrics.waiting.WithLabelValues(k.p.Table).Sub(waits) }()
	token, unproven := k.firstToken(b), 0
	for wait, tries := firstWait, 1; ; wait, tries = min(2*wait, lastWait), tries+1 {
		missing, err := b.block, error(nil)
		// Replacing tables are not counted: the server has removed what was replaced, and inserting twice changes nothing.
		counted := !k.p.Replacing && (!known || tries > 1)
		if counted {
			missing, err = k.verify(ctx, b)
		}
		if err == nil && missing.Rows() > 0 {
			err = k.insert(ctx, b, missing, token)
		}
		switch {
		case err == nil && (!counted || missing.Rows() == 0):
			k.metrics.stored(k.p.Table, b)
			k.trouble(nil)
			return nil
		case err == nil && unproven == maxUnproven:
			return fmt.Errorf("insert %s: %w: %d rows were inserted and cannot be found", b.token, ErrInsert, missing.Rows())
		case err == nil:
			// The next look at the table proves that it is complete now. If it is not, then the server took the rows for
			// ones that it knows and dropped them. It does so when it was killed after it had noted the token and before it
			// had the rows. Or the token is that of an insert that the batch was to share, and another of its batches has
			// used it. Under a token of their own they go in.
			unproven++
			if token == b.joint {
				token = b.token
			} else {
				token = fmt.Sprintf("%s/missing/%s/%d", b.token, digest(missing), unproven)
			}
			continue
		case ctx.Err() != nil:
			return fmt.Errorf("insert %s: %w", b.token, err)
		case !retryable(err):
			return fmt.Errorf("insert %s: %w: %w", b.token, ErrInsert, err)
		}
		k.metrics.waiting.WithLabelValues(k.p.Table).Add(1 - waits)
		waits = 1
		k.trouble(err)
		k.metrics.retries.WithLabelValues(k.p.Table).Inc()
		k.log.WarnContext(ctx, "batch is retried", slog.String("token", b.token), slog.Int("rows", b.rows()),
			slog.Int("tries", tries), slog.Duration("wait", wait), slog.String("error", err.Error()))
		k.kill(ctx, b)
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("insert %s: %w", b.token, err)
		}
	}
}

// insert sends rows of a batch as one block.
func (k *sink) insert(ctx context.Context, b *batch, rows *table.Block, token string) error {
	id := queryID(b.token)
	if token == b.joint {
		id = queryID(b.joint)
	}
	return k.send(ctx, id, token, rows)
}

// send sends rows as one block.
func (k *sink) send(ctx context.Context, id, token string, blocks ...*table.Block) (err error) {
	start := time.Now()
	defer func() {
		k.metrics.insertSeconds.WithLabelValues(k.p.Table).Observe(time.Since(start).Seconds())
	}()
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	ctx = clickhouse.Context(ctx,
		// The server runs one query of an id at a time, so a retry cannot overtake the try before it, and the id is by
		// which the try before it is stopped.
		clickhouse.WithQueryID(id),
		clickhouse.WithSettings(clickhouse.Settings{
			"insert_deduplication_token": token,
			"insert_deduplicate":         1,
			// Asynchronous inserts, the default since 26.3, would mix the batch with others.
			"async_insert": 0,
			// The server would otherwise wait for more than one block to fill these, or cut one that is larger. A batch
			// has fewer rows (Config.BatchRows), and it comes as one block: these make sure that it stays one.
			"max_insert_block_size":       1 << 20,
			"min_insert_block_size_rows":  0,
			"min_insert_block_size_bytes": 0,
		}))
	insert, err := k.conn.PrepareBatch(ctx, blocks[0].Insert(k.p.Table))
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	// After Send this does nothing; before it, it breaks the connection off, and the server drops the query.
	defer func() { _ = insert.Abort() }()
	for _, rows := range blocks {
		if err := rows.AppendTo(insert); err != nil {
			return err
		}
	}
	if err := insert.Send(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// kill stops an insert of the batch that may still run, and waits until it has stopped. It is a courtesy: where it
// fails, the token and the next verification do without it.
func (k *sink) kill(ctx context.Context, b *batch) {
	ctx, cancel := context.WithTimeout(ctx, lastWait)
	defer cancel()
	err := k.conn.Exec(ctx, "KILL QUERY WHERE query_id IN (?, ?) SYNC", queryID(b.token), queryID(cmp.Or(b.joint, b.token)))
	if err != nil {
		k.log.DebugContext(ctx, "former insert is not stopped", slog.String("token", b.token), slog.String("error", err.Error()))
	}
}

func queryID(token string) string { return "projector/" + token }

// retryable says whether waiting may help.
func retryable(err error) bool {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) && exception.Code == queryRuns {
		return true
	}
	return store.Classify(err) == problem.Retry
}
