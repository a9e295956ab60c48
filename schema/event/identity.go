package event

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/throughline/throughline/schema/topic"
)

// PlaceID is the id of an event that a Kafka producer submitted without one: it is made of where and when its
// submission stands in the log, so that whoever reads the record gives it the same id. name is the topic's full name;
// the time tells a topic from another that was made anew under its name.
func PlaceID(name string, partition int32, offset int64, at time.Time) string {
	place := fmt.Sprintf("%s@%d", topic.Origin(name, partition, offset), at.UnixMilli())
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("throughline:submission:"+place)).String()
}
