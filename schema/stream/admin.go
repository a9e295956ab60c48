package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/throughline/throughline/schema/topic"
)

// EnsureTopics creates the topics that are not there yet and verifies those that are: the number of partitions, and
// the settings that guarantees rest on. It never changes an existing topic; a difference is an error that names it.
// replication is the number of replicas; with 3 or more, two of them must acknowledge. It returns the full names of
// the topics that it created, sorted. It is safe to call from several processes at once.
func EnsureTopics(ctx context.Context, cfg Config, deps Deps, specs []topic.Spec, replication int) ([]string, error) {
	client, err := Open(cfg.with("admin"), deps.Log, nil)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)

	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = cfg.Topic(s.Name)
	}
	existing, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var created []string
	var errs []error
	for i, s := range specs {
		if d, ok := existing[names[i]]; ok && d.Err == nil {
			continue
		}
		made, err := createTopic(ctx, admin, names[i], s, replication)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if made {
			created = append(created, names[i])
		}
	}
	if err := errors.Join(errs...); err != nil {
		return created, err
	}
	slices.Sort(created)
	if err := awaitTopics(ctx, admin, names); err != nil {
		return created, err
	}
	return created, verifyTopics(ctx, admin, cfg, specs, replication)
}

func createTopic(ctx context.Context, admin *kadm.Client, name string, s topic.Spec, replication int) (bool, error) {
	settings := map[string]*string{}
	for k, v := range topicSettings(s, replication) {
		settings[k] = &v
	}
	_, err := admin.CreateTopic(ctx, int32(s.Partitions), int16(replication), settings, name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, kerr.TopicAlreadyExists):
		// Another process was faster; the verification looks at what it made.
		return false, nil
	default:
		return false, fmt.Errorf("create topic %s: %w", name, err)
	}
}

// awaitTopics waits until every topic has a leader for each partition: a topic is there a moment before it can be used.
func awaitTopics(ctx context.Context, admin *kadm.Client, names []string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		listed, err := admin.ListEndOffsets(ctx, names...)
		if err == nil {
			err = listed.Error()
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for topics: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// topicSettings are the settings that a topic is created with, and that an existing one must have.
func topicSettings(s topic.Spec, replication int) map[string]string {
	settings := map[string]string{
		"max.message.bytes": strconv.Itoa(topic.MaxRecordBytes),
		// CreateTime is the default; positions in time would mean something else with LogAppendTime.
		"message.timestamp.type": "CreateTime",
	}
	if replication >= 3 {
		// Acknowledged means that two replicas have it, so that one broker may be lost with its disk.
		settings["min.insync.replicas"] = "2"
	}
	if s.Compacted {
		settings["cleanup.policy"] = "compact"
		settings["delete.retention.ms"] = millis(s.DeleteRetention)
		if s.MaxLag > 0 {
			settings["max.compaction.lag.ms"] = millis(s.MaxLag)
		}
		return settings
	}
	settings["cleanup.policy"] = "delete"
	settings["retention.bytes"] = "-1"
	settings["retention.ms"] = "-1"
	if s.Retention > 0 {
		settings["retention.ms"] = millis(s.Retention)
	}
	return settings
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func verifyTopics(ctx context.Context, admin *kadm.Client, cfg Config, specs []topic.Spec, replication int) error {
	byName := map[string]topic.Spec{}
	for _, s := range specs {
		byName[cfg.Topic(s.Name)] = s
	}
	details, err := admin.ListTopics(ctx, cfg.Topics(specNames(specs)...)...)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, cfg.Topics(specNames(specs)...)...)
	if err != nil {
		return fmt.Errorf("describe topics: %w", err)
	}
	var errs []error
	for _, d := range details.Sorted() {
		if d.Err != nil {
			errs = append(errs, fmt.Errorf("topic %s: %w", d.Topic, d.Err))
			continue
		}
		if want := byName[d.Topic].Partitions; len(d.Partitions) != want {
			errs = append(errs, fmt.Errorf("topic %s has %d partitions, want %d: the place of a key depends on it",
				d.Topic, len(d.Partitions), want))
		}
	}
	for _, rc := range configs {
		if rc.Err != nil {
			errs = append(errs, fmt.Errorf("topic %s: describe: %w", rc.Name, rc.Err))
			continue
		}
		errs = append(errs, compareSettings(rc, topicSettings(byName[rc.Name], replication))...)
	}
	return errors.Join(errs...)
}

// compareSettings compares what a guarantee rests on. Retention may be longer than ours, and an operator may have
// chosen it: what counts is that it is not shorter.
func compareSettings(rc kadm.ResourceConfig, want map[string]string) []error {
	have := map[string]string{}
	for _, c := range rc.Configs {
		if c.Value != nil {
			have[c.Key] = *c.Value
		}
	}
	var errs []error
	for _, key := range []string{"cleanup.policy", "retention.ms", "delete.retention.ms", "max.compaction.lag.ms", "min.insync.replicas", "max.message.bytes"} {
		w, wanted := want[key]
		h, known := have[key]
		if !wanted || !known || h == w {
			continue
		}
		if key != "cleanup.policy" && key != "max.compaction.lag.ms" && atLeast(h, w) {
			continue
		}
		errs = append(errs, fmt.Errorf("topic %s has %s=%s, want %s", rc.Name, key, h, w))
	}
	return errs
}

func atLeast(have, want string) bool {
	h, err := strconv.ParseInt(have, 10, 64)
	if err != nil {
		return false
	}
	w, err := strconv.ParseInt(want, 10, 64)
	if err != nil {
		return false
	}
	// -1 means for ever.
	return h == -1 || (w != -1 && h >= w)
}

func specNames(specs []topic.Spec) []topic.Name {
	names := make([]topic.Name, len(specs))
	for i, s := range specs {
		names[i] = s.Name
	}
	return names
}

// CommitInitialOffsets commits the start of the log for every partition of the topics where the group has committed
// nothing yet, and leaves every other offset alone. group and topics are names without the prefix. It is what makes
// a missing offset an error later on: a group starts once, and never starts over by accident. The group must not
// have members while it runs.
func CommitInitialOffsets(ctx context.Context, cfg Config, deps Deps, group string, topics []topic.Name) error {
	client, err := Open(cfg.with("admin"), deps.Log, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	full, names := cfg.Group(group), cfg.Topics(topics...)

	committed, err := fetchCommitted(ctx, admin, full)
	if err != nil {
		return err
	}
	starts, err := admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return fmt.Errorf("list start offsets: %w", err)
	}
	if err := starts.Error(); err != nil {
		return fmt.Errorf("list start offsets: %w", err)
	}
	missing := kadm.Offsets{}
	starts.Each(func(lo kadm.ListedOffset) {
		if have, ok := committed.Lookup(lo.Topic, lo.Partition); ok && have.At >= 0 {
			return
		}
		missing.AddOffset(lo.Topic, lo.Partition, lo.Offset, -1)
	})
	if len(missing) == 0 {
		return nil
	}
	if err := admin.CommitAllOffsets(ctx, full, missing); err != nil {
		return fmt.Errorf("commit first offsets of group %s: %w", full, err)
	}
	return nil
}

// fetchCommitted is patient with a cluster that has just been started: its first group makes it create the topic that
// groups live in. A group that nobody has heard of has committed nothing.
func fetchCommitted(ctx context.Context, admin *kadm.Client, group string) (kadm.OffsetResponses, error) {
	for tries := 1; ; tries++ {
		committed, err := admin.FetchOffsets(kadm.RequireStable(ctx), group)
		if err == nil {
			// A partition whose offset is still in a killed predecessor's transaction answers with an error and no offset.
			// Taken for one without an offset, it would be set back to the start of the log.
			err = committed.Error()
		}
		switch {
		case err == nil:
			return committed, nil
		case errors.Is(err, kerr.GroupIDNotFound):
			return nil, nil
		case !kerr.IsRetriable(err):
			return nil, fmt.Errorf("fetch offsets of group %s: %w", group, err)
		}
		if ended := pause(ctx, backoff(tries)); ended != nil {
			return nil, fmt.Errorf("fetch offsets of group %s: %w", group, errors.Join(ended, err))
		}
	}
}
