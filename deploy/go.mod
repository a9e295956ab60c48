module github.com/throughline/throughline/deploy

go 1.26.0

require github.com/throughline/throughline/schema v0.0.0

require github.com/throughline/throughline/ingest v0.0.0

require github.com/throughline/throughline/projector v0.0.0

require github.com/throughline/throughline/query v0.0.0

require github.com/throughline/throughline/dispatcher v0.0.0

require (
	github.com/alecthomas/kong v1.17.0 // indirect
	github.com/google/go-cmp v0.7.0 // indirect
)

replace github.com/throughline/throughline/schema => ../schema

replace github.com/throughline/throughline/ingest => ../ingest

replace github.com/throughline/throughline/projector => ../projector

replace github.com/throughline/throughline/query => ../query

replace github.com/throughline/throughline/dispatcher => ../dispatcher
