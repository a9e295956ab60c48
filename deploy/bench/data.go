package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/throughline/throughline/schema/workspace"
)

const (
	// benchWorkspace is the workspace that everything is written to.
	benchWorkspace = "bench"
	// operatorKey is the operator's; the servers live as long as the run and listen on the loopback address.
	operatorKey = "operator-of-a-benchmark"
)

// scopes are those of the key that posts and reads.
func scopes() []workspace.Scope {
	return []workspace.Scope{workspace.EventsWrite, workspace.ObjectsWrite, workspace.ConversationsWrite, workspace.Read}
}

// wordsOf are the words of descriptions: text that compresses as people's text does, not as one repeated line.
func wordsOf() []string {
	return []string{
		"viewed", "article", "invoice", "delivery", "question", "about", "password", "reset", "order", "returned", "waiting",
		"answer", "customer", "address", "changed", "refund", "payment", "declined", "chat", "opened", "product", "page",
	}
}

// eventLine is one event of about 400 bytes on one line. The same n gives the same event.
func eventLine(n int, lookup string) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // the same load in every run, nothing to guess
	words := wordsOf()
	var b bytes.Buffer
	object := r.IntN(objects)
	if lookup == "externalId" {
		fmt.Fprintf(&b, `{"objectType":"CUSTOMER","externalId":"%s"`, externalID(object))
	} else {
		fmt.Fprintf(&b, `{"objectType":"CUSTOMER","objectId":"%s"`, objectID(object))
	}
	fmt.Fprintf(&b, `,"name":"Help center %s","description":"`, words[r.IntN(len(words))])
	for i := range 14 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[r.IntN(len(words))])
	}
	fmt.Fprintf(&b, `","icon":"📖","source":"help-center","occurredAt":"2026-01-%02dT%02d:%02d:%02d.%03dZ"`,
		1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1000))
	fmt.Fprintf(&b, `,"payload":{"articleId":%d,"session":"%016x","path":"/articles/%s-%s","seconds":%d,"helpful":%t}}`,
		r.IntN(1e6), r.Uint64(), words[r.IntN(len(words))], words[r.IntN(len(words))], r.IntN(600), r.IntN(2) == 0)
	return b.Bytes()
}

func objectID(n int) string   { return "c" + strconv.Itoa(100000+n) }
func externalID(n int) string { return "crm-" + strconv.Itoa(n) }

// objectLines are all objects, one a line.
func objectLines() []byte {
	var b bytes.Buffer
	for n := range objects {
		fmt.Fprintf(&b, `{"objectType":"CUSTOMER","objectId":"%s","externalId":"%s","name":"Customer %d"}`+"\n", objectID(n), externalID(n), n)
	}
	return b.Bytes()
}

// singleRequests are requests that post one event each, as they go over the wire.
func singleRequests(host, key, lookup string) [][]byte {
	all := make([][]byte, 4*objects)
	for n := range all {
		all[n] = request(host, "/v1/events", key, "application/json", eventLine(n, lookup))
	}
	return all
}

// batchRequests are requests that post a batch of events each.
func batchRequests(host, key, lookup string, size int) [][]byte {
	all := make([][]byte, 8)
	for n := range all {
		var lines bytes.Buffer
		for i := range size {
			lines.Write(eventLine(n*size+i, lookup))
			lines.WriteByte('\n')
		}
		all[n] = request(host, "/v1/events/batch?results=rejected", key, "application/x-ndjson", lines.Bytes())
	}
	return all
}

func request(host, path, key, media string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
		path, host, key, media, len(body))
	b.Write(body)
	return b.Bytes()
}
