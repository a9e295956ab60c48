package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// readFiles reads the calls of all files. A call that stands twice is an error: two conversations would become one.
func readFiles(names []string, stdin io.Reader, zone *time.Location) ([]Call, error) {
	var all []Call
	seen := make(map[string]string)
	for _, name := range names {
		calls, err := readFile(name, stdin, zone)
		if err != nil {
			return nil, fmt.Errorf("read trace %s: %w", name, err)
		}
		if len(all)+len(calls) > maxConversations {
			return nil, fmt.Errorf("read trace %s: there are more than %d calls; post the files one after the other", name, maxConversations)
		}
		for _, c := range calls {
			if before, twice := seen[c.ID]; twice {
				return nil, fmt.Errorf("read trace %s: call %s stands in %s already", name, c.ID, before)
			}
			seen[c.ID] = name
		}
		all = append(all, calls...)
	}
	if len(all) == 0 {
		return nil, errors.New("there are no calls to post")
	}
	return all, nil
}

// readFile reads the calls of one file, which may be gzipped whatever it is called.
func readFile(name string, stdin io.Reader, zone *time.Location) (calls []Call, err error) {
	r := stdin
	if name != Stdin {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		r = f
	}
	buffered := bufio.NewReader(r)
	if magic, err := buffered.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		return ReadCalls(z, zone)
	}
	return ReadCalls(buffered, zone)
}
