package stream

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// farewell bounds the look for a predecessor, without which a session can do.
const farewell = 5 * time.Second

// memberID is what the members of an instance are called in the group of a role, over all restarts.
func memberID(cfg Config, role, instance string) string {
	return cfg.with(role).ClientID + "@" + instance
}

// removePredecessor takes members out of the group of a role that an earlier process of this instance has left there, because
// it was killed. The group would wait for them until their session times out, and give their partitions to nobody meanwhile.
// Who has the same instance and is alive is fenced by this session's transactions anyway. It runs before this session joins.
// That it fails costs a wait, and no more.
func removePredecessor(ctx context.Context, cfg Config, role, instance string, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	client, err := Open(cfg.with(role+"-farewell"), log, nil)
	if err == nil {
		defer client.Close()
		name := memberID(cfg, role, instance)
		err = removeMembers(ctx, client, cfg.Group(role), func(m *kadm.DescribedGroupMember) bool { return m.ClientID == name })
	}
	// A group that never had a member is no error: there is nobody to wait for.
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		log.WarnContext(ctx, "members of an earlier process are left in the group", "role", role, "error", err)
	}
}
