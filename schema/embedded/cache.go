package embedded

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// cacheEnv overrides the folder that downloads are kept in.
const cacheEnv = "THROUGHLINE_CACHE"

// cacheFolder returns the folder that downloads are kept in. It lies outside
// every data folder, so that deleting data does not mean downloading again.
func cacheFolder(dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv(cacheEnv)
	}
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find cache folder (set %s): %w", cacheEnv, err)
		}
		dir = filepath.Join(base, "throughline")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("resolve cache folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil { //nolint:gosec // the user names the cache folder
		return "", fmt.Errorf("create cache folder: %w", err)
	}
	return dir, nil
}

// fetchWait bounds how long a process waits for another one's download of the
// same thing: a slow line needs about half an hour for the engine.
const fetchWait = 30 * time.Minute

// fetchOnce makes path exist. It runs fill with an empty folder beside path and
// renames what fill made, so that path is whole or absent whatever happens; of
// several processes one downloads and the others wait for it.
func fetchOnce(ctx context.Context, path string, fill func(temp string) (made string, err error)) error {
	if exists(path) {
		return nil
	}
	parent := filepath.Dir(path)
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return fmt.Errorf("create cache folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(parent, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open lock of cache: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := lockFile(ctx, lock, fetchWait); err != nil {
		return fmt.Errorf("wait for another download into %s: %w", parent, err)
	}
	if exists(path) {
		return nil
	}
	// Under the lock, whatever temporary folder is here was left by a process
	// that was killed.
	left, err := filepath.Glob(filepath.Join(parent, "fetch-*"))
	if err != nil {
		return fmt.Errorf("list leftovers in cache: %w", err)
	}
	for _, dir := range left {
		_ = os.RemoveAll(dir)
	}
	temp, err := os.MkdirTemp(parent, "fetch-")
	if err != nil {
		return fmt.Errorf("create temporary folder in cache: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	made, err := fill(temp)
	if err != nil {
		return err
	}
	if err := os.Rename(made, path); err != nil {
		return fmt.Errorf("move download into cache: %w", err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path) //nolint:gosec // it only looks, below folders that the user names
	return err == nil
}

// folderSize adds up the regular files below dir. Files may come and go while
// it looks; what it cannot see counts nothing.
func folderSize(dir string) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a file that went away is no reason to stop adding up
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}

// showProgress reports every so often how much of want has arrived, until the
// returned function is called. A terminal sees one line that changes; anything
// else, a log above all, gets a line every ten seconds.
func showProgress(w io.Writer, what string, want int64, have func() int64) (finish func()) {
	if w == nil {
		return func() {}
	}
	live := isTerminal(w)
	every, before, after := 10*time.Second, "", "\n"
	if live {
		every, before, after = 200*time.Millisecond, "\r", ""
	}
	line := func(suffix string) {
		const mega = 1_000_000
		got := min(have(), want)
		_, _ = fmt.Fprintf(w, "%s%s: %d of %d MB (%d%%)%s", before, what, got/mega, want/mega, got*100/max(want, 1), suffix)
	}
	line(after)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				line(after)
			case <-stop:
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
		if live {
			line("\n")
		}
	}
}

// isTerminal tells whether w is a character device, which is what decides
// between a changing line and lines that a log keeps.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// note writes a line of progress where anyone listens.
func note(w io.Writer, format string, args ...any) {
	if w != nil {
		_, _ = fmt.Fprintf(w, format+"\n", args...)
	}
}
