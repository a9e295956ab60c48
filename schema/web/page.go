package web

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/throughline/throughline/schema/event"
	"github.com/throughline/throughline/schema/problem"
)

// Page is a page of a list.
type Page[T any] struct {
	Data       []T        `json:"data"`
	NextCursor *string    `json:"nextCursor"`
	AsOf       event.Time `json:"asOf"`
}

// cursorForm begins the text of every cursor of a page.
const cursorForm = "1"

// WriteCursor makes an opaque cursor of where a page ended. route and what bind it to the list that it was made for.
func WriteCursor(route, what, after string) *string {
	c := base64.RawURLEncoding.EncodeToString([]byte(strings.Join([]string{cursorForm, route, what, after}, "\x00")))
	return &c
}

// ReadCursor reads it back; an empty one is the beginning.
func ReadCursor(route, what, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", problem.New(problem.BadCursor, "")
	}
	after, ok := strings.CutPrefix(string(raw), strings.Join([]string{cursorForm, route, what, ""}, "\x00"))
	if !ok || after == "" || strings.ContainsRune(after, 0) {
		return "", problem.New(problem.BadCursor, "")
	}
	return after, nil
}

// PageParams reads the parameters of a list that has no other, and the positions that it is to show.
func PageParams(r *http.Request, route, what string) (limit int, after string, positions []string, err error) {
	q := Query(r)
	limit, positions = q.Limit(), q.Strings("position")
	cursor := q.String("cursor")
	if err := q.Err(); err != nil {
		return 0, "", nil, err
	}
	after, err = ReadCursor(route, what, cursor)
	return limit, after, positions, err
}
