// Package docker makes the container images that compose.yaml and the tests use: those of Kafka and ClickHouse, which
// are pulled where a registry can be reached and built from what this machine can get otherwise, and the one of the
// throughline binary.
//
// An image that is built here comes from a root folder that is written as an archive and imported, so that no base image
// is needed. It carries a hash of everything that it was made of as a label, and is made again only when that differs.
package docker
