package embedded

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// errPortTaken is a start that lost its port to another process.
var errPortTaken = errors.New("port is taken")

// FreePorts returns so many ports of the loopback address that were free a
// moment ago.
func FreePorts(count int) ([]int, error) { return freePorts(make([]int, count)...) }

// freePorts replaces each 0 by a port that was free a moment ago. All are held
// open until all are known, so that none is handed out twice.
func freePorts(wanted ...int) ([]int, error) {
	ports := make([]int, len(wanted))
	for i, port := range wanted {
		if port != 0 {
			ports[i] = port
			continue
		}
		listener, err := net.Listen("tcp", loopback+":0") //nolint:noctx // binding a loopback port does not block
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = listener.Close() }()
		_, text, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		if ports[i], err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return ports, nil
}

// startTail is how much of the log of a failed start is searched. Java writes a
// stack trace of some kilobytes after the line that says what happened.
const startTail = 64 << 10

// enginePrompt is what the engine writes about a failed statement of its
// command line before it waits for a better one.
const enginePrompt = "\nReceived exception:\n"

// startError is why a child does not become ready, nil where it still may. It
// has ended, or it is the engine, which stays at its prompt after a statement
// that failed. Every server says in its log, and in its own words, that it
// could not listen.
func (c *child) startError() error {
	text, err := c.tail(startTail), c.ending()
	if err == nil && strings.Contains(text, enginePrompt) {
		err = fmt.Errorf("%s refuses to serve; its last output: %s", c.spec.name, c.tail(messageTail))
	}
	if err != nil && strings.Contains(strings.ToLower(text), "address already in use") {
		return errors.Join(errPortTaken, err)
	}
	return err
}

// ending is how a child ended, nil while it runs.
func (c *child) ending() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}
