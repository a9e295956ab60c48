package connect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASecretComesFromItsValueOrItsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	full, empty := write("full", " s3cret \r\n\n"), write("empty", "\n")
	large := write("large", strings.Repeat("x", maxSecretBytes+1))
	tests := []struct {
		name, value, file, want, err string
	}{
		{name: "neither"},
		{name: "a value", value: "v", want: "v"},
		{name: "a value with a line's end", value: "v\n", want: "v"},
		{name: "a file", file: full, want: " s3cret "},
		{name: "both", value: "v", file: full, err: "THE_KEY and THE_KEY_FILE are both set"},
		{name: "an empty file", file: empty, err: "is empty"},
		{name: "a file that is no secret", file: large, err: "which no secret has"},
		{name: "no such file", file: filepath.Join(dir, "none"), err: "read THE_KEY_FILE"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := Secret("THE_KEY", test.value, test.file)
			if got != test.want || (err == nil) != (test.err == "") {
				t.Fatalf("got %q, %v", got, err)
			}
			if err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %s", err, test.err)
			}
		})
	}
}

func TestAReaderWithoutAUserIsTheWriter(t *testing.T) {
	t.Parallel()
	c := ClickHouse{Addr: "a:1", Database: "d", User: "w", Password: "wp"}
	got, err := c.ReadConfig(Reader{Password: "ignored"})
	if err != nil || got.User != "w" || got.Password != "wp" {
		t.Errorf("got %q, %v", got.User, err)
	}
	got, err = c.ReadConfig(Reader{User: "r", Password: "rp"})
	if err != nil || got.User != "r" || got.Password != "rp" || got.Database != "d" {
		t.Errorf("got %q, %v", got.User, err)
	}
}
