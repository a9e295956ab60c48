package topic

import (
	"fmt"
	"net/url"
	"strings"
)

// Key makes the key of a record: its parts percent-encoded and joined with slashes, so that no id can imitate
// another key. By custom the parts are workspace, type, id. Ids in keys are pseudonymous: they stay in the log for
// ever and must not be e-mail addresses or names.
func Key(parts ...string) []byte {
	size := len(parts)
	for _, p := range parts {
		size += len(p)
	}
	b := make([]byte, 0, size)
	for i, p := range parts {
		if i > 0 {
			b = append(b, '/')
		}
		b = append(b, url.PathEscape(p)...)
	}
	return b
}

// ParseKey takes a key apart again. It refuses a key that Key would not have made.
func ParseKey(key []byte) ([]string, error) {
	parts := strings.Split(string(key), "/")
	for i, p := range parts {
		plain, err := url.PathUnescape(p)
		if err != nil {
			return nil, fmt.Errorf("parse key: part %d: %w", i, err)
		}
		if url.PathEscape(plain) != p {
			return nil, fmt.Errorf("parse key: part %d is not in canonical form", i)
		}
		parts[i] = plain
	}
	return parts, nil
}
