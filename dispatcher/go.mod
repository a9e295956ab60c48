module github.com/throughline/throughline/dispatcher

go 1.26.0

require github.com/throughline/throughline/schema v0.0.0

replace github.com/throughline/throughline/schema => ../schema
