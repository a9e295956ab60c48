// Package contract proves that the description of the API and the services agree, from the side of the description: every
// route has its operation, every example that the document shows is answered as it says, and every status that it promises
// can be produced. The other side, that services answer nothing else, is checked wherever tests talk to them (package
// schema/schematest/contract).
package contract
