package meter

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestALineIsWrittenOverOnATerminalAndStaysElsewhere(t *testing.T) {
	t.Parallel()
	for terminal, want := range map[bool]string{
		true:  "\r\x1b[Kfirst\r\x1b[Klast\n",
		false: "first\nlast\n",
	} {
		shown := make(chan struct{})
		out, in := io.Pipe()
		m := Start(in, terminal, time.Millisecond, func(time.Time) string {
			select {
			case <-shown:
				return "again"
			default:
				close(shown)
				return "first"
			}
		})
		go func() {
			<-shown
			m.Finish("last")
			_ = in.Close()
		}()
		got, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		// How often the line came in between is the clock's affair.
		text := strings.NewReplacer("\r\x1b[Kagain", "", "again\n", "").Replace(string(got))
		if text != want {
			t.Errorf("got %q, want %q", text, want)
		}
	}
}

func TestNumbersAreForPeople(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := Thousands(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := Rate(1000, 2*time.Second); got != 500 {
		t.Errorf("got %d a second, want 500", got)
	}
	if left, ok := Left(1, 4, time.Minute); !ok || left != 3*time.Minute {
		t.Errorf("got %s, %t", left, ok)
	}
	if _, ok := Left(0, 4, time.Minute); ok {
		t.Error("nothing is done, and yet the end is known")
	}
}
