package topic_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/topic"
)

func TestKeyKeepsItsPartsApart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		parts []string
		want  string
	}{
		"plain parts":                       {[]string{"ws", "CUSTOMER", "c1"}, "ws/CUSTOMER/c1"},
		"a slash in an id":                  {[]string{"ws", "CUSTOMER", "a/b"}, "ws/CUSTOMER/a%2Fb"},
		"a percent sign in an id":           {[]string{"ws", "CUSTOMER", "a%2Fb"}, "ws/CUSTOMER/a%252Fb"},
		"a space and a character of two":    {[]string{"ws", "USER", "ä b"}, "ws/USER/%C3%A4%20b"},
		"one part":                          {[]string{"ws"}, "ws"},
		"four parts":                        {[]string{"ws", "CUSTOMER", "c1", "k"}, "ws/CUSTOMER/c1/k"},
		"an id that looks like a whole key": {[]string{"ws", "CUSTOMER", "c1/k"}, "ws/CUSTOMER/c1%2Fk"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := topic.Key(tt.parts...)
			if string(key) != tt.want {
				t.Errorf("key: got %s, want %s", key, tt.want)
			}
			got, err := topic.ParseKey(key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.parts, got); diff != "" {
				t.Errorf("parts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseKeyRefusesWhatKeyWouldNotMake(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"ws/CUSTOMER/a b", "ws/CUSTOMER/%2f", "ws/CUSTOMER/%41", "ws/CUSTOMER/%zz", "ws/CUSTOMER/%"} {
		if got, err := topic.ParseKey([]byte(key)); err == nil {
			t.Errorf("%s: got %q, want an error", key, got)
		}
	}
}

func FuzzKeyRoundTrip(f *testing.F) {
	f.Add("ws", "CUSTOMER", "c1")
	f.Add("ws", "CUSTOMER/x", "%2F")
	f.Add("", "", "")
	f.Add("w\x00", "\xff", "ü/.")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		parts := []string{a, b, c}
		key := topic.Key(parts...)
		if n := strings.Count(string(key), "/"); n != 2 {
			t.Fatalf("key %q has %d slashes, want 2", key, n)
		}
		got, err := topic.ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(parts, got) {
			t.Fatalf("got %q, want %q", got, parts)
		}
	})
}

func FuzzParseKeyAcceptsOnlyItsOwnForm(f *testing.F) {
	f.Add("ws/CUSTOMER/c1")
	f.Add("a%2Fb/%20/%")
	f.Fuzz(func(t *testing.T, key string) {
		parts, err := topic.ParseKey([]byte(key))
		if err != nil {
			return
		}
		if again := string(topic.Key(parts...)); again != key {
			t.Fatalf("key %q was read as %q, which makes %q", key, parts, again)
		}
	})
}
