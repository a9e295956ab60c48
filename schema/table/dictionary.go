package table

import (
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// dictionary is a column of LowCardinality(String): every value once, and for each row which one it has.
type dictionary struct {
	// values are kept as the client library wants them, so that a row costs no allocation.
	values []any
	keys   []int
	places map[string]int
	// last is the value of the last row, which is most often that of the next, too.
	last string
}

// add appends a row, and gives the bytes that it adds for its value.
func (d *dictionary) add(v string) int {
	if n := len(d.keys); n > 0 && v == d.last {
		d.keys = append(d.keys, d.keys[n-1])
		return 0
	}
	d.last = v
	place, known := d.places[v]
	if !known {
		if d.places == nil {
			d.places = map[string]int{}
		}
		place = len(d.values)
		d.places[v] = place
		d.values = append(d.values, v)
	}
	d.keys = append(d.keys, place)
	if known {
		return 0
	}
	return len(v) + 64 // the value, and its entry in the map
}

func (d *dictionary) appendTo(to driver.BatchColumn) error {
	for _, key := range d.keys {
		if err := to.AppendRow(d.values[key]); err != nil {
			return err
		}
	}
	return nil
}

func (d *dictionary) reset() {
	clear(d.places)
	clear(d.values)
	d.values, d.keys, d.last = d.values[:0], d.keys[:0], ""
}
