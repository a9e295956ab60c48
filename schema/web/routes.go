package web

import (
	"fmt"

	"github.com/gorilla/mux"
)

// Route is one method of one path template.
type Route struct{ Method, Template string }

// Routes lists the routes in the order in which they were added, those that others added to the same tree included. What
// is mounted is left out: it has no routes of its own.
func (r *Router) Routes() ([]Route, error) {
	var all []Route
	err := r.mux.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		methods, err := route.GetMethods()
		if err != nil {
			return nil //nolint:nilerr // a mounted handler answers every method
		}
		template, err := route.GetPathTemplate()
		if err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
		for _, method := range methods {
			all = append(all, Route{method, template})
		}
		return nil
	})
	return all, err
}
