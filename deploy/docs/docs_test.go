// Package docs proves what can be proved of the documentation.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A guarantee names the test that proves it. A test that was renamed or removed leaves a promise behind that nobody keeps.
func TestEveryTestThatADocumentNamesExists(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`\bTest[A-Z]\w+…?|…[A-Z]\w+`)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	var documents, sources []string
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root && d.Name() != "..":
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			documents = append(documents, path)
		case strings.HasSuffix(path, "_test.go"):
			sources = append(sources, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, path := range sources {
		for _, m := range declared.FindAllStringSubmatch(read(t, path), -1) {
			tests[m[1]] = true
		}
	}
	found := 0
	for _, path := range documents {
		for _, name := range named.FindAllString(read(t, path), -1) {
			found++
			if !known(tests, name) {
				t.Errorf("%s names %s, which is no test", strings.TrimPrefix(path, root), name)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d names of tests were found: the documents or this test have changed their form", found)
	}
}

// known finds a name; an ellipsis stands for its beginning or its end.
func known(tests map[string]bool, name string) bool {
	bare := strings.Trim(name, "…")
	for test := range tests {
		switch {
		case test == bare,
			strings.HasPrefix(name, "…") && strings.HasSuffix(test, bare),
			strings.HasSuffix(name, "…") && strings.HasPrefix(test, bare):
			return true
		}
	}
	return false
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
