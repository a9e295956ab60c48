package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Evict takes all other members out of the group, once this one has joined it. What they had goes to this member with the
// next rebalance; they notice, give up what they have not committed, and join anew.
func (c *Consumer) Evict(ctx context.Context) error {
	own, _ := c.client.GroupMetadata()
	if own == "" {
		return nil
	}
	return removeMembers(ctx, c.client, c.group, func(m *kadm.DescribedGroupMember) bool { return m.MemberID != own })
}

// removeMembers takes members out of a group.
func removeMembers(ctx context.Context, client *kgo.Client, group string, goes func(*kadm.DescribedGroupMember) bool) error {
	described, err := kadm.NewClient(client).DescribeGroups(ctx, group)
	if err == nil {
		err = described.Error()
	}
	if err != nil {
		return fmt.Errorf("describe group %s: %w", group, err)
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	for _, m := range described[group].Members {
		if goes(&m) {
			member := kmsg.NewLeaveGroupRequestMember()
			member.MemberID, member.InstanceID = m.MemberID, m.InstanceID
			req.Members = append(req.Members, member)
		}
	}
	if len(req.Members) == 0 {
		return nil
	}
	// A member that is gone by itself meanwhile is an error of its own in the answer, and none to us.
	if _, err := req.RequestWith(ctx, client); err != nil {
		return fmt.Errorf("take members out of group %s: %w", group, err)
	}
	return nil
}
