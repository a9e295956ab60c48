package dispatcher

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/throughline/throughline/schema/webhook"
)

// render turns the body of a delivery into what its endpoint's format posts. It is a pure function of the body, so that an
// attempt that is made again posts the same, and it is called right before sending: the log keeps one body for all
// endpoints, sealed, and a PUT that changes the format counts for what waits as well.
func render(format string, body []byte) ([]byte, error) {
	switch format {
	case webhook.FormatSlack:
		return encodeMessage(slackOf(noticeOf(body)))
	case webhook.FormatTeams:
		return encodeMessage(teamsOf(noticeOf(body)))
	default:
		return body, nil
	}
}

// encodeMessage writes a message without the escapes that HTML would need: they would count against its limits.
func encodeMessage(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write message: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}
