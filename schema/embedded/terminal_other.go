//go:build !linux

package embedded

import (
	"errors"
	"os"
)

// giveTerminal is for the engine, which exists for Linux only.
func giveTerminal() (*os.File, error) {
	return nil, errors.ErrUnsupported
}
