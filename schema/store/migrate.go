package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// statementTimeout bounds one migration. Creating a table takes milliseconds;
// an ALTER that rewrites one may take minutes.
const statementTimeout = 15 * time.Minute

// ErrPending is returned by Migrated where migrations are still to be applied.
var ErrPending = errors.New("migrations are pending")

// Migration is one numbered file with one statement.
type Migration struct {
	// Number orders the migrations; the first is 1 and there are no gaps.
	Number uint32
	// Name is the file's.
	Name string
	// Statement is its text.
	Statement string
	// Checksum is the SHA-256 of the text in hexadecimal.
	Checksum string

	// statements are what is executed, in order.
	statements []string
}

// fileName is a number of four digits and words: 0001_timeline.sql.
var fileName = regexp.MustCompile(`^([0-9]{4})_[a-z0-9_]+\.sql$`)

// repeatable finds what a statement that may run twice must say, and comment
// what does not count. MODIFY is repeatable as it is.
var (
	repeatable = regexp.MustCompile(`(?i)\bIF\s+(NOT\s+)?EXISTS\b|\bCREATE\s+OR\s+REPLACE\b|\bMODIFY\b`)
	comment    = regexp.MustCompile(`(?m)--.*$`)
)

// Migrations reads the .sql files of a folder in order. It refuses gaps,
// doubles, other names, and statements that cannot run twice: two processes may
// migrate at once, and ClickHouse has no lock that both would respect.
func Migrations(files fs.FS) ([]Migration, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var list []Migration
	for _, e := range entries { // ReadDir sorts by name, so by number
		m, err := read(files, e.Name())
		if err != nil {
			return nil, err
		}
		if want := uint32(len(list)) + 1; m.Number != want {
			return nil, fmt.Errorf("migration %s: expected number %04d", m.Name, want)
		}
		list = append(list, m)
	}
	return list, nil
}

func read(files fs.FS, name string) (Migration, error) {
	match := fileName.FindStringSubmatch(name)
	if match == nil {
		return Migration{}, fmt.Errorf("migration %s: the name is not like 0001_words.sql", name)
	}
	number, err := strconv.ParseUint(match[1], 10, 32)
	if err != nil {
		return Migration{}, fmt.Errorf("migration %s: %w", name, err)
	}
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return Migration{}, fmt.Errorf("migration %s: %w", name, err)
	}
	statement := strings.TrimSuffix(strings.TrimSpace(string(text)), ";")
	if !repeatable.MatchString(comment.ReplaceAllString(statement, "")) {
		return Migration{}, fmt.Errorf("migration %s: the statement must be safe to run twice, as with IF NOT EXISTS", name)
	}
	sum := sha256.Sum256(text)
	return Migration{
		Number: uint32(number), Name: name, Statement: statement, Checksum: hex.EncodeToString(sum[:]),
		statements: []string{statement},
	}, nil
}

// Migrate brings the database of the connection to the newest of the files and
// returns what it applied. It only goes forward, and refuses to touch a
// database that an edited, a missing or a newer file was applied to. Progress,
// which may be nil, is called before each statement. A migration is recorded
// after it ran, so one that was cut short runs again.
func Migrate(ctx context.Context, conn Conn, files fs.FS, progress func(Migration)) ([]Migration, error) {
	list, err := Migrations(files)
	if err != nil {
		return nil, err
	}
	if err := sameForm(ctx, conn, false); err != nil {
		return nil, err
	}
	return migrate(ctx, conn, list, createRecord("", "MergeTree"), progress)
}

func migrate(ctx context.Context, conn Conn, list []Migration, record string, progress func(Migration)) ([]Migration, error) {
	if err := conn.Exec(ctx, record); err != nil {
		return nil, fmt.Errorf("create schema_migrations: %w", err)
	}
	pending, err := pending(ctx, conn, list)
	if err != nil {
		return nil, err
	}
	for i, m := range pending {
		if progress != nil {
			progress(m)
		}
		if err := apply(ctx, conn, m); err != nil {
			return pending[:i], fmt.Errorf("migration %s: %w", m.Name, err)
		}
	}
	return pending, nil
}

// Migrated returns nil if the database is at the newest of the files, ErrPending
// if it is behind, and what Migrate would refuse. It only reads, so a service
// that may not change tables can ask before it starts.
func Migrated(ctx context.Context, conn Conn, files fs.FS) error {
	list, err := Migrations(files)
	if err != nil {
		return err
	}
	var there uint8
	if err := conn.QueryRow(ctx, "EXISTS TABLE schema_migrations").Scan(&there); err != nil {
		return fmt.Errorf("look for schema_migrations: %w", err)
	}
	if there == 0 {
		return fmt.Errorf("%w: the database is empty", ErrPending)
	}
	missing, err := pending(ctx, conn, list)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s is next", ErrPending, missing[0].Name)
	}
	return nil
}

// createRecord makes the table that remembers. Two processes may record one
// migration twice; the rows then agree, and readers group them.
func createRecord(where, engine string) string {
	return `CREATE TABLE IF NOT EXISTS schema_migrations` + where + `
(
    number     UInt32,
    name       String,
    checksum   String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ` + engine + `
ORDER BY number`
}

func apply(ctx context.Context, conn Conn, m Migration) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	for _, statement := range m.statements {
		if err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	err := conn.Exec(ctx, "INSERT INTO schema_migrations (number, name, checksum) VALUES (?, ?, ?)", m.Number, m.Name, m.Checksum)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// pending compares the record with the files and returns the files that are
// still to be applied.
func pending(ctx context.Context, conn Conn, list []Migration) ([]Migration, error) {
	rows, err := conn.Query(ctx, "SELECT DISTINCT number, name, checksum FROM schema_migrations ORDER BY number, name, checksum")
	if err != nil {
		return nil, fmt.Errorf("read schema_migrations: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err below has said what there is to say
	var applied []Migration
	for rows.Next() {
		var m Migration
		if err := rows.Scan(&m.Number, &m.Name, &m.Checksum); err != nil {
			return nil, fmt.Errorf("read schema_migrations: %w", err)
		}
		applied = append(applied, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read schema_migrations: %w", err)
	}
	return compare(list, applied)
}

// compare is the rule: what was applied is a prefix of the files, unchanged.
func compare(list, applied []Migration) ([]Migration, error) {
	var done uint32
	for _, a := range applied {
		i := slices.IndexFunc(list, func(m Migration) bool { return m.Number == a.Number })
		switch {
		case i < 0:
			return nil, fmt.Errorf("migration %s was applied and is not in this version: the database is newer than the program", a.Name)
		case list[i].Name != a.Name:
			return nil, fmt.Errorf("migration %s was applied under the name %s", list[i].Name, a.Name)
		case list[i].Checksum != a.Checksum:
			return nil, fmt.Errorf("migration %s was changed after it was applied: add a new one instead", a.Name)
		case a.Number > done+1:
			return nil, fmt.Errorf("migration %s was applied, but number %04d before it was not", a.Name, done+1)
		}
		done = max(done, a.Number)
	}
	return list[done:], nil
}
