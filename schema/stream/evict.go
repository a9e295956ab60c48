package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Evict takes all other members out of the group, once this one has joined it. What they had goes to this member with the
// next rebalance; they notice, give up what they have not committed, and join anew.
func (c *Consumer) Evict(ctx context.Context) error {
	own, _ := c.client.GroupMetadata()
	if own == "" {
		return nil
	}
	described, err := kadm.NewClient(c.client).DescribeGroups(ctx, c.group)
	if err == nil {
		err = described.Error()
	}
	if err != nil {
		return fmt.Errorf("describe group %s: %w", c.group, err)
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = c.group
	for _, m := range described[c.group].Members {
		if m.MemberID != own {
			member := kmsg.NewLeaveGroupRequestMember()
			member.MemberID, member.InstanceID = m.MemberID, m.InstanceID
			req.Members = append(req.Members, member)
		}
	}
	if len(req.Members) == 0 {
		return nil
	}
	// A member that is gone by itself meanwhile is an error of its own in the answer, and none to us.
	if _, err := req.RequestWith(ctx, c.client); err != nil {
		return fmt.Errorf("take members out of group %s: %w", c.group, err)
	}
	return nil
}
