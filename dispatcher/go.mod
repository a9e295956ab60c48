module github.com/throughline/throughline/dispatcher

go 1.26.0

replace github.com/throughline/throughline/schema => ../schema
