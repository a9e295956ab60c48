package dispatcher

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/throughline/throughline/schema/webhook"
)

// maxResponseBytes is how much of an answer is read and kept.
const maxResponseBytes = 64 << 10

// Bounds of what is kept of an answer's headers.
const (
	maxKeptHeaders     = 40
	maxKeptHeaderBytes = 1 << 10
)

// userAgent is how deliveries introduce themselves.
const userAgent = "Throughline-Webhooks/1"

// blotted stands for a secret in what is kept of an attempt.
const blotted = "***"

// poster makes attempts.
type poster struct {
	client  *http.Client
	timeout time.Duration
	now     func() time.Time
}

func newPoster(g *guard, cfg Config, roots *x509.CertPool, now func() time.Time) *poster {
	transport := &http.Transport{
		// A proxy would connect for us to whatever it likes.
		Proxy:                 nil,
		DialContext:           g.dialer().DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: cfg.AttemptTimeout,
		// A connection in flight for each attempt, and as many kept for the next ones; of one host as well, because many
		// endpoints may be there.
		MaxIdleConns:           cfg.Concurrency,
		MaxIdleConnsPerHost:    cfg.Concurrency,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// What is kept of an answer is what was sent, and a small answer must not become a large one here.
		DisableCompression: true,
	}
	return &poster{
		client: &http.Client{
			Transport: transport,
			// A redirect is an answer like any other, and no success.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		timeout: cfg.AttemptTimeout, now: now,
	}
}

// close closes the connections that nobody uses.
func (p *poster) close() { p.client.CloseIdleConnections() }

// result is what an attempt gave, beside what is kept of it.
type result struct {
	attempt *webhook.Attempt
	// response is the beginning of the answer's body.
	response []byte
	wait     time.Duration
}

// post makes one attempt. It never fails: what goes wrong is its result.
func (p *poster) post(ctx context.Context, private *webhook.Private, d *webhook.Delivery, body []byte) result {
	start := p.now()
	a := &webhook.Attempt{At: eventTime(start), RequestHeaders: map[string]string{}}
	res := result{attempt: a}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	phases := &phases{}
	req, err := p.request(httptrace.WithClientTrace(ctx, phases.trace()), private, d, body, start, a)
	if err == nil {
		var resp *http.Response
		if resp, err = p.client.Do(req); err == nil {
			a.StatusCode, a.Protocol = resp.StatusCode, resp.Proto
			a.ResponseHeaders = keptHeaders(resp.Header)
			res.wait = retryAfter(resp.Header, p.now())
			defer func() { _ = resp.Body.Close() }() // what could be read of it has been read
			res.response, a.Truncated, err = readSome(resp.Body)
		}
	}
	phases.into(a, time.Since(start))
	switch {
	case err == nil:
		a.Outcome = outcomeOf(a.StatusCode)
	case a.StatusCode >= 200 && a.StatusCode < 300:
		// The endpoint has taken the delivery; what it said besides is of no interest.
		a.Outcome = webhook.OutcomeSuccess
	default:
		a.Outcome = classify(ctx, err)
	}
	a.Error = explain(a, err)
	return res
}

func (p *poster) request(ctx context.Context, private *webhook.Private, d *webhook.Delivery, body []byte, at time.Time, a *webhook.Attempt) (*http.Request, error) {
	sign, err := signature(private.Current(at), d.ID, at, body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, private.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", errors.Unwrap(err))
	}
	set := func(name, value, kept string) {
		req.Header.Set(name, value)
		a.RequestHeaders[http.CanonicalHeaderKey(name)] = kept
	}
	for name, value := range private.Headers {
		set(name, value, blotted)
	}
	if private.AuthToken != "" {
		set(private.AuthHeaderName, private.AuthToken, blotted)
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	set("Content-Type", "application/json", "application/json")
	set("User-Agent", userAgent, userAgent)
	set(headerID, d.ID, d.ID)
	set(headerTimestamp, timestamp, timestamp)
	set(headerSignature, sign, sign)
	return req, nil
}

// readSome reads the beginning of an answer, and whether there is more. The connection is used again where there is not.
func readSome(body io.Reader) (begin []byte, truncated bool, err error) {
	begin, err = io.ReadAll(io.LimitReader(body, maxResponseBytes+1))
	if len(begin) > maxResponseBytes {
		return begin[:maxResponseBytes], true, err
	}
	return begin, false, err
}

func outcomeOf(status int) webhook.Outcome {
	switch {
	case status >= 200 && status < 300:
		return webhook.OutcomeSuccess
	case status == http.StatusGone:
		return webhook.OutcomeGone
	case status == http.StatusTooManyRequests:
		return webhook.OutcomeRateLimited
	case status >= 300 && status < 400:
		return webhook.OutcomeRedirect
	case status >= 500:
		return webhook.OutcomeServerError
	default:
		return webhook.OutcomeClientError
	}
}

// classify says what kind of failure an error is.
func classify(ctx context.Context, err error) webhook.Outcome {
	var dns *net.DNSError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.Is(err, ErrForbidden):
		return webhook.OutcomeForbidden
	case errors.As(err, &dns):
		return webhook.OutcomeDNS
	case errors.As(err, &verify), errors.As(err, &record), errors.As(err, &alert), strings.Contains(err.Error(), "tls: "):
		return webhook.OutcomeTLS
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return webhook.OutcomeTimeout
	case errors.As(err, &op) && op.Op == "dial":
		return webhook.OutcomeConnect
	default:
		return webhook.OutcomeBroken
	}
}

// explain says for a person what went wrong. An error of the client names the URL, which is nobody's to read here.
func explain(a *webhook.Attempt, err error) string {
	if a.Outcome == webhook.OutcomeSuccess {
		return ""
	}
	if err == nil {
		return fmt.Sprintf("the endpoint answered %d", a.StatusCode)
	}
	type wrapsURL interface{ Unwrap() error }
	if inner, ok := err.(wrapsURL); ok && inner.Unwrap() != nil && strings.HasPrefix(err.Error(), "Post ") {
		err = inner.Unwrap()
	}
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	return text[:min(len(text), maxKeptHeaderBytes)]
}

// keptHeaders are an answer's headers as they are kept: so many, so long, and without those that are secrets.
func keptHeaders(h http.Header) map[string]string {
	kept := map[string]string{}
	for name, values := range h {
		if len(kept) == maxKeptHeaders {
			break
		}
		value := strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
		switch name {
		case "Set-Cookie", "Authorization", "Proxy-Authenticate", "Www-Authenticate":
			value = blotted
		}
		name = strings.ToValidUTF8(name, "\uFFFD")
		kept[name[:min(len(name), maxKeptHeaderBytes)]] = strings.ToValidUTF8(value[:min(len(value), maxKeptHeaderBytes)], "")
	}
	return kept
}

// phases takes the times of an attempt. The client may go on dialling after the attempt has ended.
type phases struct {
	mu                sync.Mutex
	dns, connect, tls time.Time
	timing            webhook.Timing
	reused            bool
	wrote             time.Time
}

func (p *phases) trace() *httptrace.ClientTrace {
	note := func(f func(now time.Time)) {
		now := time.Now()
		p.mu.Lock()
		defer p.mu.Unlock()
		f(now)
	}
	return &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { note(func(now time.Time) { p.dns = now }) },
		DNSDone:           func(httptrace.DNSDoneInfo) { note(func(now time.Time) { p.timing.DNS = since(p.dns, now) }) },
		ConnectStart:      func(string, string) { note(func(now time.Time) { p.connect = now }) },
		ConnectDone:       func(string, string, error) { note(func(now time.Time) { p.timing.Connect = since(p.connect, now) }) },
		TLSHandshakeStart: func() { note(func(now time.Time) { p.tls = now }) },
		TLSHandshakeDone: func(tls.ConnectionState, error) {
			note(func(now time.Time) { p.timing.TLS = since(p.tls, now) })
		},
		GotConn:              func(i httptrace.GotConnInfo) { note(func(time.Time) { p.reused = i.Reused }) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { note(func(now time.Time) { p.wrote = now }) },
		GotFirstResponseByte: func() { note(func(now time.Time) { p.timing.FirstByte = since(p.wrote, now) }) },
	}
}

func (p *phases) into(a *webhook.Attempt, total time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.Timing, a.Reused = p.timing, p.reused
	a.Timing.Total = total.Microseconds()
}

// since is the time from one moment to another in microseconds, or 0 where the first is not known.
func since(from, to time.Time) int64 {
	if from.IsZero() {
		return 0
	}
	return max(to.Sub(from).Microseconds(), 1)
}
