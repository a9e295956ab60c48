package webhook_test

import (
	"bytes"
	"testing"

	"github.com/throughline/throughline/schema/webhook"
)

// BenchmarkDelivery reads and writes a delivery, as whoever puts it off does.
func BenchmarkDelivery(b *testing.B) {
	d := delivery()
	d.Sealed = bytes.Repeat([]byte{17, 4, 200}, 200)
	value, err := d.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d, err := webhook.ParseDelivery(value)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := d.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAttempt writes an attempt.
func BenchmarkAttempt(b *testing.B) {
	a := attempt()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
