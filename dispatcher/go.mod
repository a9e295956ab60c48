module github.com/throughline/throughline/dispatcher

go 1.26.0

replace github.com/throughline/throughline/schema => ../schema

require (
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
	github.com/throughline/throughline/schema v0.0.0
)

require github.com/google/uuid v1.6.0 // indirect
