package client

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/throughline/throughline/schema/problem"
)

// StatusError is an answer that is no success.
type StatusError struct {
	// Code and Status are of its first line: 503, and "503 Service Unavailable".
	Code   int
	Status string
	// Problem is its body, where that is a problem.
	Problem *problem.Problem
	// RetryAfter is what the header of that name asked for; zero without one.
	RetryAfter time.Duration
	// Location is where a redirection leads.
	Location string
}

// Error says what the server said.
func (e *StatusError) Error() string {
	text := "the server answered " + e.Status
	if e.Location != "" {
		text += ": it is now at " + e.Location
	}
	if e.Problem != nil && e.Problem.Detail != "" {
		text += ": " + e.Problem.Detail
	}
	return text
}

// Temporary says whether the same request may be answered otherwise a while later.
func (e *StatusError) Temporary() bool {
	return e.Code == http.StatusTooManyRequests || e.Code == http.StatusRequestTimeout || e.Code >= http.StatusInternalServerError
}

// TemporaryItem says whether an item of a batch that has a status may be accepted a while later. A 500 is not: an item on
// which the server fails must not keep all the others from being sent.
func TemporaryItem(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

func statusError(res *http.Response, data []byte) *StatusError {
	e := &StatusError{
		Code: res.StatusCode, Status: res.Status, RetryAfter: retryAfter(res.Header), Location: res.Header.Get("Location"),
	}
	var p problem.Problem
	if json.Unmarshal(data, &p) == nil && p.Title != "" {
		e.Problem = &p
	}
	return e
}

// retryAfter reads the header, which is a number of seconds or a date.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
