package seal_test

import (
	"strings"
	"testing"
)

// BenchmarkSeal seals what a delivery posts: some members of a record, and an object's name.
func BenchmarkSeal(b *testing.B) {
	_, key := dataKey(b, master(b, 1))
	plain := benchBody()
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		key.Seal(plain, nil)
	}
	b.ReportMetric(float64(len(key.Seal(plain, nil)))/float64(len(plain)), "size")
}

// BenchmarkOpen opens the same.
func BenchmarkOpen(b *testing.B) {
	_, key := dataKey(b, master(b, 1))
	plain := benchBody()
	sealed := key.Seal(plain, nil)
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Open(sealed, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func benchBody() []byte {
	return []byte(`{"type":"event.linked","timestamp":"2026-03-01T12:00:00.000Z","data":{"event":{"id":"1772366400000000000-17","kind":"event",` +
		`"name":"Viewed article","description":"Viewed HelpCenter Article - How does it work?","descriptionHtml":"Viewed HelpCenter Article - How does it work?",` +
		`"icon":"📖","source":"helpcenter","occurredAt":"2026-03-01T12:00:00.000Z","receivedAt":"2026-03-01T12:00:00.000Z",` +
		`"primary":{"objectType":"CUSTOMER","objectId":"c1","name":"Ann Example"},"link":"primary","via":[],"externalId":null,` +
		`"payload":{"articleId":17,"company":"Atlas","words":"` + strings.Repeat("reading the manual once more ", 6) + `"},"transition":null},` +
		`"links":[{"objectType":"CUSTOMER","objectId":"c1","kind":"primary"},{"objectType":"ACCOUNT","objectId":"a1","kind":"related"}]}}`)
}
