package dev

import (
	"fmt"
	"io"
	"net"
	"strings"
)

// Guide is what a person needs to know once dev is ready.
type Guide struct {
	// URL is the base address.
	URL string
	// Key is an API key of the workspace default, or empty if this start does not know one.
	Key string
	// NewKey says that this start made the key.
	NewKey bool
	// Data is the data folder.
	Data string
	// Kafka and ClickHouse say what the servers are and how to reach them.
	Kafka, ClickHouse string
}

// Commands are the lines to paste: a customer, an event, the customer's timeline. They work in any POSIX shell.
func (g Guide) Commands() []string {
	auth := "-H " + quote("Authorization: Bearer "+g.Key)
	if g.Key == "" {
		auth = `-H "Authorization: Bearer $THROUGHLINE_API_KEY"`
	}
	const json = `-H 'Content-Type: application/json' -w '\n'`
	return []string{
		fmt.Sprintf(`curl -sS -X PUT %s/v1/objects/CUSTOMER/c1 %s %s -d '{"name":"Ann"}'`, g.URL, auth, json),
		fmt.Sprintf(`curl -sS -X POST %s/v1/events %s %s -d '{"objectType":"CUSTOMER","objectId":"c1","name":"Signed up","icon":"🎉"}'`, g.URL, auth, json),
		fmt.Sprintf(`sleep 1; curl -sS %s/v1/timeline/CUSTOMER/c1 %s -w '\n'`, g.URL, auth),
	}
}

// Write tells a person what is running and what to do next.
func (g Guide) Write(w io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("")
	line("Throughline is ready at %s", g.URL)
	line("")
	switch {
	case g.Key == "":
		line("  API key     the one of the first start, workspace %s (lost? THROUGHLINE_API_KEY=<at least 16 bytes> adds one)", Workspace)
	case g.NewKey:
		line("  API key     %s (workspace %s; shown this once, only its hash is kept)", g.Key, Workspace)
	default:
		line("  API key     as given by THROUGHLINE_API_KEY, workspace %s", Workspace)
	}
	line("  Data        %s", g.Data)
	line("  Kafka       %s", g.Kafka)
	line("  ClickHouse  %s", g.ClickHouse)
	line("")
	line("Make a customer, post an event, read the timeline:")
	line("")
	if g.Key == "" {
		line("  export THROUGHLINE_API_KEY=<your key>")
	}
	for _, c := range g.Commands() {
		line("  %s", c)
	}
	line("")
	line("Ctrl-C stops it; the data stays. A day of real calls: throughline demo --url %s --key <key>", g.URL)
	line("")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print guide: %w", err)
	}
	return nil
}

// baseURL is the address under which a person on this machine reaches a listener.
func baseURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// quote makes one word of a shell out of any text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
