package projector

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/throughline/throughline/projector/projections"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/stream"
	"github.com/throughline/throughline/schema/table"
)

// A table is made again as a table of its own, NAME_gN, and takes the name of the former one when it is complete. Its
// generation stands in its comment, which goes with it, so that the exchange of the two names is all that a switch is:
//
//	NAME_gN with the comment of generation N is being built;
//	NAME_gN with another comment was in use before generation N;
//	NAME is in use, and its comment is its generation, 1 where there is none.

// generations are what there is of a table.
type generations struct {
	// current is the generation in use; building is the one that is being built, 0 where none is.
	current, building int
	// old are the names of the tables that were in use before.
	old []string
	// most is the greatest number that any of them has.
	most int
}

var (
	generationName    = regexp.MustCompile(`_g([0-9]{1,9})$`)
	generationComment = regexp.MustCompile(`^generation ([0-9]{1,9})$`)
)

func numberIn(form *regexp.Regexp, text string) int {
	m := form.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1]) // nine digits are a number
	return n
}

// findGenerations looks for the tables of a projection.
func findGenerations(ctx context.Context, conn store.Conn, p projections.Projection) (generations, error) {
	var g generations
	rows, err := conn.Query(ctx, `SELECT name, comment FROM system.tables
		WHERE database = currentDatabase() AND (name = {table:String} OR match(name, concat('^', {table:String}, '_g[0-9]{1,9}$'))) ORDER BY name`,
		clickhouse.Named("table", p.Table))
	if err != nil {
		return g, fmt.Errorf("look for tables: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below has said what there is to say
	for rows.Next() {
		var name, comment string
		if err := rows.Scan(&name, &comment); err != nil {
			return g, fmt.Errorf("look for tables: %w", err)
		}
		said := numberIn(generationComment, comment)
		switch of := numberIn(generationName, name); {
		case name == p.Table:
			g.current = max(said, 1)
		case of == said && of > g.building:
			g.building = of
		case of != said:
			g.old = append(g.old, name)
		}
		g.most = max(g.most, said, numberIn(generationName, name))
	}
	if err := rows.Err(); err != nil {
		return g, fmt.Errorf("look for tables: %w", err)
	}
	if g.current == 0 {
		return g, fmt.Errorf("%w: there is no table %s: `throughline migrate` makes it", store.ErrPending, p.Table)
	}
	g.most = max(g.most, g.current)
	return g, nil
}

// generation is the projection of a table into the one of a generation, with a consumer group and tokens of its own.
func generation(p projections.Projection, n int) projections.Projection {
	p.Table = fmt.Sprintf("%s_g%d", p.Table, n)
	return p
}

// beginGeneration finds the generation that is being built, or begins the next one: first its table, then the offsets of
// its group. Both may be repeated. A group that has offsets, and no table, is of a database that there is no more: its
// number is passed over.
func beginGeneration(ctx context.Context, deps Deps, watch *stream.OffsetWatch, p projections.Projection) (projections.Projection, int, error) {
	g, err := findGenerations(ctx, deps.Store, p)
	if err != nil {
		return p, 0, err
	}
	n := g.building
	if n == 0 {
		if n, err = unused(ctx, watch, p, g.most+1); err != nil {
			return p, 0, err
		}
		name := generation(p, n).Table
		if err := deps.Store.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+name+" AS "+p.Table); err != nil {
			return p, 0, fmt.Errorf("create table %s: %w", name, err)
		}
		if err := deps.Store.Exec(ctx, fmt.Sprintf("ALTER TABLE %s MODIFY COMMENT 'generation %d'", name, n)); err != nil {
			return p, 0, fmt.Errorf("number table %s: %w", name, err)
		}
	}
	next := generation(p, n)
	err = stream.CommitInitialOffsets(ctx, deps.Kafka, stream.Deps{Log: deps.Log}, table.Group(next.Table), next.Topics)
	if err != nil {
		return p, 0, fmt.Errorf("commit first offsets: %w", err)
	}
	return next, n, nil
}

// unused is the first number from n on whose group has committed nothing.
func unused(ctx context.Context, watch *stream.OffsetWatch, p projections.Projection, n int) (int, error) {
	for ; ; n++ {
		used := false
		for _, name := range p.Topics {
			committed, err := watch.Committed(ctx, table.Group(generation(p, n).Table), name)
			if err != nil {
				return 0, err
			}
			used = used || len(committed) > 0
		}
		if !used {
			return n, nil
		}
	}
}

// DropOld drops the tables of generations that were in use before, and, where it is asked to, those that are not complete.
// It returns their names.
func DropOld(ctx context.Context, conn store.Conn, tables []string, unfinished bool) ([]string, error) {
	list, err := pick(projections.All(), tables)
	if err != nil {
		return nil, err
	}
	var dropped []string
	var errs []error
	for _, p := range list {
		g, err := findGenerations(ctx, conn, p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if unfinished && g.building > 0 {
			g.old = append(g.old, generation(p, g.building).Table)
		}
		for _, name := range g.old {
			if err := conn.Exec(ctx, "DROP TABLE IF EXISTS "+name+" SYNC"); err != nil {
				errs = append(errs, fmt.Errorf("drop table %s: %w", name, err))
				continue
			}
			dropped = append(dropped, name)
		}
	}
	return dropped, errors.Join(errs...)
}
