package web

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/throughline/throughline/schema/problem"
)

// Media types that bodies come in.
const (
	JSON       = "application/json"
	NDJSON     = "application/x-ndjson"
	MergePatch = "application/merge-patch+json"
)

// MediaType returns which of the supported media types the body declares; an
// absent Content-Type is the first of them. Where JSON is supported, so is any
// type with the suffix +json: they are JSON by their own words. Anything else,
// or a charset that is not UTF-8, is a 415 that names the supported ones.
func MediaType(r *http.Request, supported ...string) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return supported[0], nil
	}
	// Most clients send just this.
	if slices.Contains(supported, header) {
		return header, nil
	}
	media, params, err := mime.ParseMediaType(header)
	if err != nil {
		return "", unsupported("The Content-Type cannot be read", supported)
	}
	switch charset := strings.ToLower(params["charset"]); charset {
	case "", "utf-8", "utf8", "us-ascii":
	default:
		return "", unsupported("The charset must be utf-8", supported)
	}
	switch {
	case slices.Contains(supported, media):
		return media, nil
	case strings.HasSuffix(media, "+json") && slices.Contains(supported, JSON):
		return JSON, nil
	default:
		return "", unsupported("The Content-Type "+media+" is not supported here", supported)
	}
}

func unsupported(what string, supported []string) error {
	list := strings.Join(supported, ", ")
	return problem.Newf(problem.UnsupportedMediaType, "%s; supported: %s.", what, list)
}
