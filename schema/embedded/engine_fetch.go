package embedded

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// The engine's package. Its newer `latest` tag does not open a listener, so the
// version is pinned; the hash is the one npm's registry states for it.
const (
	enginePackage = "@chdb/lib-linux-x64-gnu"
	engineVersion = "26.7.3-stable.1"
	engineHash    = "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=="
	engineBytes   = 177_817_999
	engineMember  = "package/libchdb.so"
)

// ErrNoEngine is returned where no ClickHouse can be had; its text says what to
// install.
var ErrNoEngine = errors.New("no ClickHouse on this machine: install a `clickhouse` binary on the PATH, " +
	"or set CLICKHOUSE_ADDR to a running server, or use Docker (docker run clickhouse/clickhouse-server)")

// FetchOptions say where the engine is kept and who watches.
type FetchOptions struct {
	// CacheDir is where downloads are kept; empty means $THROUGHLINE_CACHE, or
	// else the folder throughline in the user's cache folder.
	CacheDir string
	// Progress receives lines about a download; nil means nobody watches.
	Progress io.Writer
}

// Fetch returns the path of libchdb.so, downloading it through npm (178 MB,
// 566 MB unpacked) if the cache does not hold it. Several processes may fetch
// at once; one downloads. It wraps [ErrNoEngine] where the library does not
// exist for the platform, npm is not installed or the download does not work.
func Fetch(ctx context.Context, opts FetchOptions) (string, error) {
	cache, err := cacheFolder(opts.CacheDir)
	if err != nil {
		return "", err
	}
	e := engineFetch{npm: "npm", hash: engineHash, progress: opts.Progress}
	return e.into(ctx, cache)
}

// platformHasEngine says what is missing for a download.
func platformHasEngine(npm string) error {
	if !engineBuilt {
		return fmt.Errorf("this program was built without the embedded engine: %w", ErrNoEngine)
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("the embedded engine exists for Linux on x86-64 only, this is %s on %s: %w",
			runtime.GOOS, runtime.GOARCH, ErrNoEngine)
	}
	if _, err := exec.LookPath(npm); err != nil {
		return fmt.Errorf("the embedded engine is downloaded with npm (Node.js), which is not on the PATH: %w", ErrNoEngine)
	}
	return nil
}

func enginePath(cache string) string {
	return filepath.Join(cache, "engine", engineVersion, "libchdb.so")
}

// engineFetch is one way to get the engine: which npm, and which hash to trust.
type engineFetch struct {
	npm      string
	hash     string
	progress io.Writer
}

func (e engineFetch) into(ctx context.Context, cache string) (string, error) {
	path := enginePath(cache)
	if engineBuilt && exists(path) {
		return path, nil
	}
	if err := platformHasEngine(e.npm); err != nil {
		return "", err
	}
	err := fetchOnce(ctx, path, func(temp string) (string, error) {
		tarball, err := e.pack(ctx, temp)
		if err != nil {
			return "", err
		}
		if err := checkHash(tarball, e.hash); err != nil {
			return "", err
		}
		note(e.progress, "ClickHouse engine: unpacking")
		return unpack(tarball, engineMember, filepath.Join(temp, "libchdb.so"))
	})
	if err != nil {
		return "", fmt.Errorf("fetch ClickHouse engine: %w", err)
	}
	return path, nil
}

// pack downloads the tarball by name and version; where from is npm's own
// configuration. Its cache lies in the temporary folder, so that the bytes can
// be seen arriving and 178 MB do not stay behind in the user's npm cache.
func (e engineFetch) pack(ctx context.Context, temp string) (string, error) {
	finish := showProgress(e.progress, "ClickHouse engine "+engineVersion, engineBytes, func() int64 {
		return folderSize(temp)
	})
	defer finish()
	cmd := exec.CommandContext(ctx, e.npm, "pack", //nolint:gosec // the user's npm, a pinned package
		enginePackage+"@"+engineVersion,
		"--pack-destination", temp, "--cache", filepath.Join(temp, "npm"), "--silent")
	cmd.Dir = temp
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = killBound
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("run npm pack: %w: %s: %w", err, strings.TrimSpace(string(output)), ErrNoEngine)
	}
	found, err := filepath.Glob(filepath.Join(temp, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("npm pack left %d archives, want 1", len(found))
	}
	return found[0], nil
}

// checkHash compares a file with a hash in the form of npm's integrity field.
func checkHash(path, want string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open archive: %w", err)
	}
	defer func() { _ = file.Close() }()
	digest := sha512.New()
	if _, err := io.Copy(digest, file); err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(digest.Sum(nil)); got != want {
		return fmt.Errorf("archive %s has hash %s, want %s: not used", filepath.Base(path), got, want)
	}
	return nil
}

// unpack writes one member of a gzipped tar archive to a file.
func unpack(archive, member, to string) (string, error) {
	file, err := os.Open(archive)
	if err != nil {
		return "", fmt.Errorf("open archive: %w", err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return "", fmt.Errorf("read archive: %w", err)
	}
	reader := tar.NewReader(unzipped)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("archive has no %s", member)
		}
		if err != nil {
			return "", fmt.Errorf("read archive: %w", err)
		}
		if header.Name != member {
			continue
		}
		if err := writeStream(to, reader, header.Size); err != nil {
			return "", fmt.Errorf("unpack %s: %w", member, err)
		}
		return to, nil
	}
}

// writeStream writes exactly size bytes and makes them durable, so that a
// rename after it never shows a file with holes.
func writeStream(path string, from io.Reader, size int64) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(file, from, size)
	return errors.Join(err, file.Sync(), file.Close())
}
