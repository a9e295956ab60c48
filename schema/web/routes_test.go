package web_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/throughline/throughline/schema/web"
)

func TestRoutesListsEveryMethodAndLeavesOutWhatIsMounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	nothing := func(http.ResponseWriter, *http.Request) error { return nil }
	f.Handle(http.MethodGet, "/v1/things/{id}", nothing)
	f.With().Handle(http.MethodPost, "/v1/things", nothing)
	f.Mount("/app", http.NotFoundHandler())
	got, err := f.Routes()
	if err != nil {
		t.Fatal(err)
	}
	want := []web.Route{
		{Method: http.MethodGet, Template: "/v1/things/{id}"},
		{Method: http.MethodHead, Template: "/v1/things/{id}"},
		{Method: http.MethodPost, Template: "/v1/things"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes differ (-want +got):\n%s", diff)
	}
}
