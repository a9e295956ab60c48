package stream

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// leaveTimeout bounds how long a closing client tries to tell its group: without brokers it would try for as long as
// any other request.
const leaveTimeout = 3 * time.Second

func closeClient(ctx context.Context, client *kgo.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	client.AllowRebalance()
	// An error means that the group finds out by itself, after the session timeout.
	_ = client.LeaveGroupContext(ctx)
	client.Close()
}
