package store_test

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/table"
)

const (
	createA = "-- A table.\nCREATE TABLE IF NOT EXISTS a (n UInt32) ENGINE = MergeTree ORDER BY n;\n"
	alterA  = "ALTER TABLE a ADD COLUMN IF NOT EXISTS word String"
	createB = "CREATE TABLE IF NOT EXISTS b (n UInt32) ENGINE = MergeTree ORDER BY n"
)

func files(pairs ...string) fstest.MapFS {
	m := make(fstest.MapFS)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

// migrate applies the files and returns the names of those that it applied.
func migrate(t *testing.T, conn store.Conn, files fs.FS) ([]string, error) {
	t.Helper()
	var announced, applied []string
	done, err := store.Migrate(t.Context(), conn, files, func(m store.Migration) { announced = append(announced, m.Name) })
	for _, m := range done {
		applied = append(applied, m.Name)
	}
	if diff := cmp.Diff(announced, applied); diff != "" && err == nil {
		t.Errorf("announced other migrations than it applied: %s", diff)
	}
	return applied, err
}

func TestMigrateAppliesWhatIsMissing(t *testing.T) {
	t.Parallel()
	conn := writer(t, schematest.ClickHouse(t))
	one := files("0001_a.sql", createA)
	three := files("0001_a.sql", createA, "0002_word.sql", alterA, "0003_b.sql", createB)
	if err := store.Migrated(t.Context(), conn, one); !errors.Is(err, store.ErrPending) {
		t.Errorf("an empty database: %v", err)
	}
	for _, step := range []struct {
		files fstest.MapFS
		want  []string
	}{
		{one, []string{"0001_a.sql"}},
		{one, nil},
		{three, []string{"0002_word.sql", "0003_b.sql"}},
		{three, nil},
	} {
		got, err := migrate(t, conn, step.files)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Error(diff)
		}
	}
	if err := store.Migrated(t.Context(), conn, three); err != nil {
		t.Error(err)
	}
	if err := conn.Exec(t.Context(), "INSERT INTO a (n, word) VALUES (1, 'x')"); err != nil {
		t.Error(err)
	}
}

func TestMigrateRefusesAnotherPast(t *testing.T) {
	t.Parallel()
	conn := writer(t, schematest.ClickHouse(t))
	if _, err := migrate(t, conn, files("0001_a.sql", createA, "0002_word.sql", alterA)); err != nil {
		t.Fatal(err)
	}
	for want, next := range map[string]fstest.MapFS{
		"0001_a.sql was changed after it was applied":                     files("0001_a.sql", createA+" ", "0002_word.sql", alterA, "0003_b.sql", createB),
		"0002_other.sql was applied under the name 0002_word.sql":         files("0001_a.sql", createA, "0002_other.sql", alterA),
		"0002_word.sql was applied and is not in this version: the datab": files("0001_a.sql", createA),
	} {
		applied, err := migrate(t, conn, next)
		if err == nil || !strings.Contains(err.Error(), want) || applied != nil {
			t.Errorf("applied %v, %v; want %s", applied, err, want)
		}
		if err := store.Migrated(t.Context(), conn, next); err == nil || errors.Is(err, store.ErrPending) {
			t.Errorf("Migrated says %v", err)
		}
	}
}

func TestAMigrationThatFailsIsNotRecorded(t *testing.T) {
	t.Parallel()
	conn := writer(t, schematest.ClickHouse(t))
	applied, err := migrate(t, conn, files("0001_a.sql", createA, "0002_word.sql", "ALTER TABLE gone ADD COLUMN IF NOT EXISTS x String"))
	if err == nil || !strings.Contains(err.Error(), "0002_word.sql") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"0001_a.sql"}, applied); diff != "" {
		t.Error(diff)
	}
	if applied, err = migrate(t, conn, files("0001_a.sql", createA, "0002_word.sql", alterA)); err != nil || len(applied) != 1 {
		t.Errorf("after the repair: applied %v, %v", applied, err)
	}
}

func TestProcessesMayMigrateAtTheSameTime(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	all := files("0001_a.sql", createA, "0002_word.sql", alterA, "0003_b.sql", createB)
	results := make([]error, 4)
	var wg sync.WaitGroup
	for i := range results {
		conn := writer(t, db)
		wg.Go(func() { _, results[i] = store.Migrate(t.Context(), conn, all, nil) })
	}
	wg.Wait()
	if err := errors.Join(results...); err != nil {
		t.Error(err)
	}
	if err := store.Migrated(t.Context(), writer(t, db), all); err != nil {
		t.Error(err)
	}
}

func TestMigrationsRefusesUnfitFiles(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]fstest.MapFS{
		"a gap":                         files("0001_a.sql", createA, "0003_b.sql", createB),
		"a start above one":             files("0002_a.sql", createA),
		"one number twice":              files("0001_a.sql", createA, "0001_b.sql", createB),
		"another name":                  files("1_a.sql", createA),
		"another file":                  files("0001_a.sql", createA, "README.md", "x"),
		"a statement that cannot rerun": files("0001_a.sql", "CREATE TABLE a (n UInt32) ENGINE = MergeTree ORDER BY n -- IF NOT EXISTS"),
		"rows that would be doubled":    files("0001_a.sql", "INSERT INTO a VALUES (1)"),
	} {
		if list, err := store.Migrations(folder); err == nil {
			t.Errorf("%s: %v was accepted", name, list)
		}
	}
}

func TestTheTablesOfThisVersionCanBeMade(t *testing.T) {
	t.Parallel()
	conn := writer(t, schematest.ClickHouse(t))
	applied, err := migrate(t, conn, table.Migrations())
	if err != nil || len(applied) == 0 {
		t.Fatalf("applied %v, %v", applied, err)
	}
	if err := store.Migrated(t.Context(), conn, table.Migrations()); err != nil {
		t.Error(err)
	}
}
