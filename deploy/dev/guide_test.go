package dev

import (
	"bytes"
	"net"
	"os/exec"
	"strings"
	"testing"
)

func TestTheFirstStartShowsItsKeyAndLaterOnesDoNot(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		guide          Guide
		has, hasNot    string
		inFirstCommand string
	}{
		{"first", Guide{Key: "tl_secret", NewKey: true}, "tl_secret (workspace default; shown this once", "export", "Bearer tl_secret'"},
		{"given", Guide{Key: "tl_secret"}, "as given by THROUGHLINE_API_KEY", "shown this once", "Bearer tl_secret'"},
		{"later", Guide{}, "the one of the first start", "Bearer '", "Bearer $THROUGHLINE_API_KEY\""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			if err := test.guide.Write(&b); err != nil {
				t.Fatal(err)
			}
			if got := b.String(); !strings.Contains(got, test.has) || strings.Contains(got, test.hasNot) {
				t.Errorf("got\n%s", got)
			}
			if got := test.guide.Commands()[0]; !strings.Contains(got, test.inFirstCommand) {
				t.Errorf("got %s", got)
			}
		})
	}
}

// A key of the user's own choice may hold what a shell reads; the command must hand it to curl as it is.
func TestCommandsQuoteTheKeyForTheShell(t *testing.T) {
	t.Parallel()
	key := `it's $HOME "quoted" \ and ` + "`date`"
	command := Guide{URL: "http://127.0.0.1:1", Key: key}.Commands()[0]
	script := `curl() { for a; do printf '%s\n' "$a"; done; }; ` + command
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "\nAuthorization: Bearer "+key+"\n") {
		t.Errorf("got\n%s", out)
	}
}

func TestTheAddressIsOneThatAPersonCanReach(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080",
		"0.0.0.0:8080":   "http://127.0.0.1:8080",
		"[::]:8080":      "http://127.0.0.1:8080",
		"[::1]:8080":     "http://[::1]:8080",
		"10.0.0.7:80":    "http://10.0.0.7:80",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := baseURL(tcp); got != want {
			t.Errorf("%s became %s, want %s", addr, got, want)
		}
	}
}
