package web

import (
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"github.com/throughline/throughline/schema/problem"
)

// PathVar returns a variable of the route's template, decoded once: a%2Fb is
// the id a/b, and a%252Fb is a%2Fb. The check, if there is one, says what is
// wrong with the value; its refusal becomes a 422.
func PathVar(r *http.Request, name string, check func(string) error) (string, error) {
	raw, ok := mux.Vars(r)[name]
	if !ok {
		return "", fmt.Errorf("route has no variable %s", name)
	}
	value, err := url.PathUnescape(raw)
	if err != nil {
		return "", problem.Newf(problem.InvalidPath, "%s is not a percent-encoded segment.", name)
	}
	if !utf8.ValidString(value) {
		return "", problem.Newf(problem.InvalidPath, "%s is not UTF-8.", name)
	}
	if check != nil {
		if err := check(value); err != nil {
			return "", problem.Newf(problem.InvalidPath, "%s: %v", name, err)
		}
	}
	return value, nil
}
