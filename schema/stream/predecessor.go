package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// farewell bounds the look for a predecessor, without which a session can do.
const farewell = 5 * time.Second

// memberID is what the members of an instance are called in their group, over all restarts.
func (p *Processor) memberID() string { return p.cfg.with(p.pc.Role).ClientID + "@" + p.pc.Instance }

// removePredecessor takes members out of the group that an earlier process of this instance has left there, because it was
// killed. The group would wait for them until their session times out, and give their partitions to nobody meanwhile. Who
// has the same instance and is alive is fenced by this session's transactions anyway. It runs before this session joins.
func (p *Processor) removePredecessor(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	client, err := Open(p.cfg.with(p.pc.Role+"-farewell"), p.deps.Log, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	name := p.memberID()
	err = removeMembers(ctx, client, p.group, func(m *kadm.DescribedGroupMember) bool { return m.ClientID == name })
	// A group that never had a member is no error: there is nobody to wait for.
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove predecessor: %w", err)
	}
	return nil
}
