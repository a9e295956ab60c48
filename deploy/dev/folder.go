package dev

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/throughline/throughline/schema/seal"
	"github.com/throughline/throughline/schema/workspace"
)

// format is the version of the data folder. A folder of a greater one is refused.
const format = 1

// ownerWait is how long a start waits for the folder's former owner, who may be in the middle of stopping.
const ownerWait = 3 * time.Second

// ErrFolderInUse is the error of a start whose data folder another process has.
var ErrFolderInUse = errors.New("data folder is in use")

// folder is the data folder, which this process alone has.
//
//	installation.json  format, and which servers the data belongs to
//	master.key         wraps the keys of personal data; without it they cannot be read
//	first.key          the first API key, until it has been printed
//	kafka/ clickhouse/ the servers' own
//	views/             copies of topics; may be removed while dev is stopped
type folder struct {
	path string
	lock *os.File
}

// installation is the content of installation.json.
type installation struct {
	Format     int    `json:"format"`
	Kafka      string `json:"kafka"`
	ClickHouse string `json:"clickhouse"`
}

// claimFolder makes the folder if need be and takes it for this process until release or the process's end.
func claimFolder(ctx context.Context, path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of data folder: %w", err)
	}
	if err := waitForLock(ctx, lock); err != nil {
		owner, _ := io.ReadAll(lock)
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: process %s runs on %s; stop it, or choose another folder with THROUGHLINE_DATA",
				ErrFolderInUse, strings.TrimSpace(string(owner)), path)
		}
		return nil, fmt.Errorf("lock data folder %s: %w", path, err)
	}
	if lock.Truncate(0) == nil {
		_, _ = fmt.Fprintf(lock, "%d\n", os.Getpid()) // only the message above needs it
	}
	return &folder{path: path, lock: lock}, nil
}

// waitForLock takes the lock, asking again for as long as a former owner may need to stop.
func waitForLock(ctx context.Context, file *os.File) error {
	limit, cancel := context.WithTimeout(ctx, ownerWait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		select {
		case <-tick.C:
		case <-limit.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
	}
}

// release gives the folder up.
func (f *folder) release() { _ = f.lock.Close() }

func (f *folder) in(parts ...string) string {
	return filepath.Join(append([]string{f.path}, parts...)...)
}

// belongsTo notes which servers the data belongs to, or refuses servers that it does not belong to: offsets in
// ClickHouse's rows mean nothing in another log, and would be taken for proof that records are there already.
func (f *folder) belongsTo(kafka, clickhouse string) error {
	want := installation{Format: format, Kafka: kafka, ClickHouse: clickhouse}
	path := f.in("installation.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err := json.Marshal(want)
		if err != nil {
			return fmt.Errorf("encode installation: %w", err)
		}
		return writeOnce(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("read installation: %w", err)
	}
	var have installation
	if err := json.Unmarshal(data, &have); err != nil {
		return fmt.Errorf("read installation %s: %w", path, err)
	}
	if have.Format != format {
		return fmt.Errorf("data folder %s has format %d, this version of throughline reads format %d; use the version that made it, or another folder (THROUGHLINE_DATA)",
			f.path, have.Format, format)
	}
	if have != want {
		return fmt.Errorf("data folder %s belongs to %s Kafka and %s ClickHouse, not %s Kafka and %s ClickHouse; choose another folder with THROUGHLINE_DATA",
			f.path, have.Kafka, have.ClickHouse, kafka, clickhouse)
	}
	return nil
}

// master is the folder's master key, made at the first start.
func (f *folder) master() (*seal.Master, error) {
	text, err := f.keep("master.key", func() string {
		key := make([]byte, seal.KeyBytes)
		_, _ = rand.Read(key) // never fails: the runtime ends the process instead
		return hex.EncodeToString(key)
	})
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	master, err := seal.ParseMaster(text)
	if err != nil {
		return nil, fmt.Errorf("master key in %s: %w", f.in("master.key"), err)
	}
	return master, nil
}

// firstKey is the secret of the first API key. It is kept in the folder from before the key is made until it has been
// printed, so that a start that is killed in between does not leave a workspace whose only key nobody knows.
func (f *folder) firstKey() (string, error) { return f.keep("first.key", workspace.NewSecret) }

// pendingFirstKey says whether a first key was made that has not been printed.
func (f *folder) pendingFirstKey() bool {
	_, err := os.Stat(f.in("first.key"))
	return err == nil
}

// printedFirstKey forgets the first key.
func (f *folder) printedFirstKey() error {
	if err := os.Remove(f.in("first.key")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the first key: %w", err)
	}
	return nil
}

// keep reads a line from a file of the folder, or makes it and writes it durably before anything can depend on it.
func (f *folder) keep(name string, generate func() string) (string, error) {
	path := f.in(name)
	data, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	text := generate()
	return text, writeOnce(path, []byte(text+"\n"))
}

// writeOnce writes a file that only the user may read, so that a crash leaves all of it or nothing.
func writeOnce(path string, data []byte) error {
	temp := path + ".new"
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// syncFolder makes a new name durable.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
