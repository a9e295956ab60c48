package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the reference of the configuration")

const referenceHead = `# Configuration

This file is written from the program's flags: ` + "`go generate ./deploy/cmd/throughline`" + `.

Every flag has an environment variable, which it goes before. There is no configuration file. ` + "`--print-config`" + ` says what
holds and where it comes from, ` + "`--check`" + ` whether what a service needs is there. Sizes are bytes, or have a unit (` + "`8MiB`" + `);
times have one always (` + "`200ms`, `5s`, `720h`" + `). A flag that is not known is an error.

**Secrets** stand in the environment, or in a file whose path is in the variable with ` + "`_FILE`" + ` at its end; both at once is an
error. The end of the last line is no part of a secret. Secrets of services are refused on the command line.
`

func TestTheConfigurationReferenceIsThatOfTheFlags(t *testing.T) {
	t.Parallel()
	var cli commands
	parser, err := newParser(&cli, kong.Writers(new(bytes.Buffer), new(bytes.Buffer)))
	if err != nil {
		t.Fatal(err)
	}
	got := reference(parser.Model)
	path := filepath.Join("..", "..", "docs", "reference", "configuration.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the reference has drifted; -update writes it (-file +flags):\n%s", diff)
	}
}

// shared are the flags that several commands have, each with a section of its own.
type shared struct {
	title, about string
	has          func(name string) bool
}

func sharedSections() []shared {
	return []shared{
		{"Kafka", "Of every command that reads or writes the log.", func(name string) bool {
			return name == "brokers" || name == "prefix" || strings.HasPrefix(name, "kafka-")
		}},
		{"ClickHouse", "Of every command that reads or writes tables.", func(name string) bool {
			return strings.HasPrefix(name, "clickhouse-") && !strings.HasPrefix(name, "clickhouse-read-")
		}},
	}
}

func reference(model *kong.Application) string {
	var out strings.Builder
	out.WriteString(referenceHead)
	out.WriteString("\n## Every command\n\n")
	table(&out, model.Flags)
	written := map[string]bool{}
	for _, s := range sharedSections() {
		fmt.Fprintf(&out, "\n## %s\n\n%s\n\n", s.title, s.about)
		for _, leaf := range model.Leaves(true) {
			flags := slices.DeleteFunc(slices.Clone(leaf.Flags), func(f *kong.Flag) bool { return !s.has(f.Name) })
			if len(flags) > 0 && !written[s.title] {
				written[s.title] = true
				table(&out, flags)
			}
		}
	}
	for _, leaf := range model.Leaves(true) {
		section(&out, leaf)
	}
	return out.String()
}

// section writes what one command has.
func section(out *strings.Builder, leaf *kong.Node) {
	fmt.Fprintf(out, "\n## %s\n\n%s\n", leaf.FullPath(), leaf.Help)
	own := slices.Clone(leaf.Flags)
	for _, s := range sharedSections() {
		before := len(own)
		own = slices.DeleteFunc(own, func(f *kong.Flag) bool { return s.has(f.Name) })
		if len(own) < before {
			fmt.Fprintf(out, "It has the flags of [%s](#%s).\n", s.title, strings.ToLower(s.title))
		}
	}
	if len(own) > 0 {
		out.WriteString("\n")
		table(out, own)
	}
}

// table writes flags as a table. A secret of a service is no flag.
func table(out *strings.Builder, flags []*kong.Flag) {
	out.WriteString("| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, f := range flags {
		name := "`--" + f.Name + "`"
		if f.Tag.Get("secret") == "env" {
			name = ""
		}
		var env, value string
		if len(f.Envs) > 0 {
			env = "`" + f.Envs[0] + "`"
		}
		if f.Default != "" {
			value = "`" + f.Default + "`"
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s |\n", name, env, value, strings.ReplaceAll(f.Help, "|", "\\|"))
	}
}
