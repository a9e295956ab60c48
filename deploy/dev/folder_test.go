package dev

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func claim(t *testing.T, path string) *folder {
	t.Helper()
	f, err := claimFolder(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.release)
	return f
}

func TestAFolderHasOneOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	first := claim(t, path)
	_, err := claimFolder(t.Context(), path)
	if !errors.Is(err, ErrFolderInUse) {
		t.Fatalf("got %v, want ErrFolderInUse", err)
	}
	if want := "process " + strconv.Itoa(os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not name the owner: %s", err, want)
	}
	first.release()
	claim(t, path)
}

func TestAFolderKeepsToItsServers(t *testing.T) {
	t.Parallel()
	f := claim(t, t.TempDir())
	for range 2 { // noted at the first start, read at the second
		if err := f.belongsTo(kindEmbedded, kindEmbedded); err != nil {
			t.Fatal(err)
		}
	}
	err := f.belongsTo(kindApache, kindEmbedded)
	if err == nil || !strings.Contains(err.Error(), "belongs to embedded Kafka") {
		t.Errorf("got %v", err)
	}
}

func TestAFolderOfALaterFormatIsRefused(t *testing.T) {
	t.Parallel()
	f := claim(t, t.TempDir())
	if err := os.WriteFile(f.in("installation.json"), []byte(`{"format":2,"kafka":"embedded"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.belongsTo(kindEmbedded, kindEmbedded); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("got %v", err)
	}
}

func TestTheMasterKeyIsMadeOnceAndForTheUserOnly(t *testing.T) {
	t.Parallel()
	f := claim(t, t.TempDir())
	first, err := f.master()
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.master()
	if err != nil {
		t.Fatal(err)
	}
	a, b := first.ExternalToken("w", "CUSTOMER", "x"), second.ExternalToken("w", "CUSTOMER", "x")
	if a != b {
		t.Error("the second start has another master key")
	}
	info, err := os.Stat(f.in("master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("master.key has mode %o", mode)
	}
}

func TestTheFirstKeyStaysUntilItIsPrinted(t *testing.T) {
	t.Parallel()
	f := claim(t, t.TempDir())
	if f.pendingFirstKey() {
		t.Error("an empty folder has a pending key")
	}
	first, err := f.firstKey()
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.firstKey()
	if err != nil || again != first || !f.pendingFirstKey() {
		t.Errorf("got %q after %q, %v", again, first, err)
	}
	for range 2 {
		if err := f.printedFirstKey(); err != nil {
			t.Fatal(err)
		}
	}
	if f.pendingFirstKey() {
		t.Error("the key is still there after it was printed")
	}
}
