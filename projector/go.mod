module github.com/throughline/throughline/projector

go 1.26.0

require github.com/throughline/throughline/schema v0.0.0

require github.com/google/go-cmp v0.7.0 // indirect

replace github.com/throughline/throughline/schema => ../schema
