package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// registry puts a program in the place of npm, which packs what a registry
// would have sent, and counts how often it was asked. It returns the program
// and the hash of what it packs.
func registry(t *testing.T, member, content string) (npm, hash string, asked func() int) {
	t.Helper()
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	tarred := tar.NewWriter(zipped)
	header := &tar.Header{Name: member, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
	if err := tarred.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	if _, err := tarred.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tarred.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	packed := filepath.Join(dir, "packed")
	if err := os.WriteFile(packed, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	// Called as: npm pack NAME@VERSION --pack-destination DIR …
	script := fmt.Sprintf("#!/bin/sh\necho \"$2\" >>%s/asked\ncp %s \"$4/engine.tgz\"\n", dir, packed)
	npm = filepath.Join(dir, "npm")
	if err := os.WriteFile(npm, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(archive.Bytes())
	hash = "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
	return npm, hash, func() int {
		text, err := os.ReadFile(filepath.Join(dir, "asked"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		return strings.Count(string(text), enginePackage+"@"+engineVersion)
	}
}

func skipWithoutPlatform(t *testing.T) {
	t.Helper()
	if err := platformHasEngine("sh"); err != nil {
		t.Skip(err)
	}
}

func TestFetchDownloadsOnceForManyAndKeepsOnlyTheLibrary(t *testing.T) {
	t.Parallel()
	skipWithoutPlatform(t)
	cache := t.TempDir()
	npm, hash, asked := registry(t, engineMember, "a library")
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			path, err := engineFetch{npm: npm, hash: hash}.into(t.Context(), cache)
			if err != nil {
				t.Error(err)
				return
			}
			if content, err := os.ReadFile(path); err != nil || string(content) != "a library" {
				t.Errorf("library is %q, %v", content, err)
			}
		})
	}
	group.Wait()
	if got := asked(); got != 1 {
		t.Errorf("npm was asked %d times, want 1", got)
	}
	left, err := filepath.Glob(filepath.Join(cache, "engine", engineVersion, "*"))
	if err != nil || len(left) != 2 { // the library and the lock
		t.Errorf("cache holds %v, %v", left, err)
	}
}

func TestFetchRefusesAnArchiveWithAnotherHash(t *testing.T) {
	t.Parallel()
	skipWithoutPlatform(t)
	cache := t.TempDir()
	npm, hash, _ := registry(t, engineMember, "something else")
	_, err := engineFetch{npm: npm, hash: engineHash}.into(t.Context(), cache)
	if err == nil || !strings.Contains(err.Error(), hash) || !strings.Contains(err.Error(), engineHash) {
		t.Errorf("fetch: %v, want both hashes", err)
	}
	if errors.Is(err, ErrNoEngine) {
		t.Error("a wrong hash counts as a missing engine, which tests may skip over")
	}
	if exists(enginePath(cache)) {
		t.Error("the library is in the cache")
	}
	if size := folderSize(cache); size != 0 {
		t.Errorf("%d bytes are left in the cache", size)
	}
}

func TestFetchRefusesAnArchiveWithoutTheLibrary(t *testing.T) {
	t.Parallel()
	skipWithoutPlatform(t)
	npm, hash, _ := registry(t, "package/readme", "no library")
	_, err := engineFetch{npm: npm, hash: hash}.into(t.Context(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), engineMember) {
		t.Errorf("fetch: %v, want what the archive lacks", err)
	}
}

func TestFetchRemovesWhatAKilledDownloadLeft(t *testing.T) {
	t.Parallel()
	skipWithoutPlatform(t)
	cache := t.TempDir()
	left := filepath.Join(filepath.Dir(enginePath(cache)), "fetch-123")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	npm, hash, _ := registry(t, engineMember, "a library")
	if _, err := (engineFetch{npm: npm, hash: hash}).into(t.Context(), cache); err != nil {
		t.Fatal(err)
	}
	if exists(left) {
		t.Error("the folder of the killed download is still there")
	}
}

func TestFetchSaysWhatToInstallWhereNpmIsMissing(t *testing.T) {
	t.Parallel()
	_, err := engineFetch{npm: "no-such-npm", hash: engineHash}.into(t.Context(), t.TempDir())
	if !errors.Is(err, ErrNoEngine) || !strings.Contains(err.Error(), "CLICKHOUSE_ADDR") {
		t.Errorf("fetch: %v, want what to install", err)
	}
}

func TestFetchKafkaCountsItsJars(t *testing.T) {
	t.Parallel()
	cache, dir := t.TempDir(), t.TempDir()
	mvn := filepath.Join(dir, "mvn")
	// The folder is the last argument's value.
	script := "#!/bin/sh\nfor last; do :; done\nto=${last#-DoutputDirectory=}\nmkdir -p \"$to\" && touch \"$to/one.jar\" \"$to/two.jar\"\n"
	if err := os.WriteFile(mvn, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := kafkaFetch{mvn: mvn, jars: 3}.into(t.Context(), cache)
	if err == nil || !strings.Contains(err.Error(), "2 jars, want 3") {
		t.Errorf("fetch of two jars of three: %v", err)
	}
	libs, err := kafkaFetch{mvn: mvn, jars: 2}.into(t.Context(), cache)
	if err != nil || !exists(filepath.Join(libs, "two.jar")) {
		t.Errorf("fetch of two jars: %s, %v", libs, err)
	}
	_, err = kafkaFetch{mvn: "no-such-mvn", jars: 2}.into(t.Context(), t.TempDir())
	if !errors.Is(err, ErrNoKafka) || !strings.Contains(err.Error(), "KAFKA_BROKERS") {
		t.Errorf("fetch without Maven: %v, want what to install", err)
	}
}

func TestJavaVersionIsReadFromWhatJavaSays(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]int{
		"openjdk 17.0.15 2025-04-15\nOpenJDK Runtime Environment": 17,
		"openjdk 27-ea 2026-09-15":                                27,
		"java 21 2023-09-19 LTS":                                  21,
		"":                                                        0,
		"Unrecognized option: --version":                          0,
	} {
		if got := javaVersion(output); got != want {
			t.Errorf("version of %q is %d, want %d", output, got, want)
		}
	}
}

func TestFetchTellsALogHowFarItIs(t *testing.T) {
	t.Parallel()
	skipWithoutPlatform(t)
	npm, hash, _ := registry(t, engineMember, "a library")
	var progress bytes.Buffer
	e := engineFetch{npm: npm, hash: hash, progress: &progress}
	if _, err := e.into(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	want := "ClickHouse engine " + engineVersion + ": 0 of 177 MB (0%)\nClickHouse engine: unpacking\n"
	if diff := cmp.Diff(want, progress.String()); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestProgressTellsATerminalFromALog(t *testing.T) {
	t.Parallel()
	terminal, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	// Any character device is taken for a terminal; a file is not.
	if !isTerminal(terminal) {
		t.Error("a character device is no terminal")
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if isTerminal(file) {
		t.Error("a file is a terminal")
	}
}
