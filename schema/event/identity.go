package event

import (
	"github.com/google/uuid"

	"github.com/throughline/throughline/schema/topic"
)

// PlaceID is the id of an event that a Kafka producer submitted without one: it is made of where its submission
// stands, so that whoever reads the record gives it the same id. name is the topic's, without the prefix.
func PlaceID(name topic.Name, partition int32, offset int64) string {
	place := topic.Origin(string(name), partition, offset)
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:throughline:record:"+place)).String()
}
