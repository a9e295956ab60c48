package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ownerWait is how long a start waits for the previous owner of a data folder.
// An engine that lost its parent exits at once, but its memory is gigabytes to
// unmap and its disk may be busy.
const ownerWait = 10 * time.Second

// pollEvery is the pace of everything that is waited for by asking again.
const pollEvery = 20 * time.Millisecond

// ErrFolderInUse is returned when another living process owns a data folder.
var ErrFolderInUse = errors.New("data folder is in use")

// claimFolder creates dir and takes the exclusive lock on it, waiting up to
// wait for a dying owner. The lock belongs to the open file: whoever inherits
// the descriptor keeps the folder, and a crash of the last holder frees it.
func claimFolder(ctx context.Context, dir string, wait time.Duration) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	path := filepath.Join(dir, "LOCK")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of data folder: %w", err)
	}
	if err := lockFile(ctx, file, wait); err != nil {
		owner, _ := io.ReadAll(file)
		_ = file.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("%w: %s belongs to process %s; stop it or choose another folder",
				ErrFolderInUse, dir, strings.TrimSpace(string(owner)))
		}
		return nil, fmt.Errorf("lock data folder %s: %w", dir, err)
	}
	// The content is a hint for the message above, so a failed write is harmless.
	if file.Truncate(0) == nil {
		_, _ = fmt.Fprintf(file, "%d\n", os.Getpid())
	}
	return file, nil
}

var errLocked = errors.New("locked by another process")

// lockFile takes the exclusive lock on file, asking again until wait is over.
func lockFile(ctx context.Context, file *os.File, wait time.Duration) error {
	return poll(ctx, wait, func() error {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return errLocked
		}
		if err != nil {
			return final{err}
		}
		return nil
	})
}

// final marks an error that asking again cannot mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// poll calls try until it succeeds, returns a final error, wait is over or the
// context is. It returns the last error of try, which says more than a timeout.
func poll(ctx context.Context, wait time.Duration, try func() error) error {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := try()
		var last final
		switch {
		case err == nil:
			return nil
		case errors.As(err, &last):
			return last.error
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			return err
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// checkFormat writes the format a data folder is in, or refuses a folder that
// is in another one: reading it would lose or mangle what is there.
func checkFormat(dir, format string) error {
	path := filepath.Join(dir, "FORMAT")
	found, err := os.ReadFile(path)
	switch {
	case err == nil && strings.TrimSpace(string(found)) == format:
		return nil
	case err == nil:
		return fmt.Errorf("data folder %s has format %q, this program reads %q: use the program that wrote it, or another folder",
			dir, strings.TrimSpace(string(found)), format)
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("read format of data folder: %w", err)
	}
	return writeFile(path, format+"\n")
}

// writeFile replaces a file as a whole and makes it durable.
func writeFile(path, content string) error {
	next := path + ".next"
	file, err := os.OpenFile(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = io.WriteString(file, content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}
