module github.com/throughline/throughline/query

go 1.26.0

require github.com/throughline/throughline/schema v0.0.0

require (
	github.com/aymerick/douceur v0.2.0 // indirect
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/gorilla/css v1.0.1 // indirect
	github.com/gorilla/mux v1.8.1 // indirect
	github.com/microcosm-cc/bluemonday v1.0.27 // indirect
	golang.org/x/net v0.62.0 // indirect
)

replace github.com/throughline/throughline/schema => ../schema
