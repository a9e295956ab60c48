package e2e

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestListenPrintsWhatHappensAndLeavesNothingBehind runs the command as a person does, against everything in real
// processes: the signatures that it verifies with the official library are those of real deliveries.
func TestListenPrintsWhatHappensAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	embeddedOnly(t)
	a := dev(t, t.TempDir())
	must(t, http.StatusOK, http.MethodPut, a.url+"/v1/objects/CUSTOMER/c1", a.key, `{"name":"Ann"}`)
	listen := func(args ...string) *process {
		p := start(t, t.TempDir(), []string{"THROUGHLINE_URL=" + a.url, "THROUGHLINE_API_KEY=" + a.key}, append([]string{"listen"}, args...)...)
		eventually(t, startWithin, "the endpoint to be there", func() error {
			p.running()
			if !strings.Contains(p.errors(), "listening at http://127.0.0.1:") {
				return errors.New(p.errors())
			}
			return nil
		})
		return p
	}
	endpoints := func() []string { return list(t, a.url+"/v1/webhook-endpoints?limit=10", a.key) }

	person := listen("--events", "event.linked", "--filter", `data.event.name != "Hidden"`)
	program := listen("--events", "event.linked", "--json", "--count", "2", "--fail", "503")
	if got := endpoints(); len(got) != 2 {
		t.Errorf("endpoints are %v", got)
	}
	must(t, http.StatusOK, http.MethodPost, a.url+"/v1/events", a.key, eventJSON("c1", "e1", "Hidden"))
	must(t, http.StatusOK, http.MethodPost, a.url+"/v1/events", a.key, eventJSON("c1", "e2", "Signed up"))
	eventually(t, 3*time.Minute, "the event to be printed", func() error {
		person.running()
		if !strings.Contains(person.out(), "  event.linked  CUSTOMER c1  Signed up  (msg_") {
			return errors.New(person.out())
		}
		return nil
	})
	if code := program.wait(3 * time.Minute); code != 0 || strings.Count(program.out(), `"answer":503,"body":{"type":"event.linked"`) != 2 {
		t.Errorf("ended with %d, printed %s", code, program.out())
	}
	person.interrupt()
	if code := person.wait(time.Minute); code != 0 || strings.Contains(person.out(), "Hidden") {
		t.Errorf("ended with %d, printed %s", code, person.out())
	}
	if got := person.errors(); !strings.Contains(got, "received 1 deliveries, 0 of them repeats; answered 1 with success") {
		t.Errorf("summary: %s", got)
	}
	if got := endpoints(); len(got) != 0 {
		t.Errorf("endpoints are left: %v", got)
	}
}
