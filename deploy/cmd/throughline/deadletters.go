package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/throughline/throughline/deploy/connect"
	"github.com/throughline/throughline/deploy/deadletters"
	"github.com/throughline/throughline/schema/embedded"
	"github.com/throughline/throughline/schema/stream"
)

// deadLettersCommand holds what is done about records that a consumer could not process, straight in Kafka.
type deadLettersCommand struct {
	List  deadLettersList  `cmd:"" help:"List records that a consumer could not process."`
	Show  deadLettersShow  `cmd:"" help:"Show one of them: who refused it, why, where it is from, and its bytes."`
	Retry deadLettersRetry `cmd:"" help:"Put records back, once, so that the consumer that refused them gets them again."`
}

// letterFilter chooses dead letters.
type letterFilter struct {
	Group string `name:"group" help:"Only those of this consumer group, such as link."`
	Topic string `name:"topic" help:"Only records of this topic, such as submissions.v1."`
}

// deadLettersList lists dead letters.
type deadLettersList struct {
	letterFilter `embed:""`

	Kafka connect.Kafka `embed:""`
	Open  bool          `name:"open" help:"Only those that were not retried yet."`
	JSON  bool          `name:"json" help:"Print each as a JSON object on a line, with its bytes in base64."`
}

// Validate says what is wrong with the flags.
func (c deadLettersList) Validate() error { return c.Kafka.Required() }

// Run implements the command.
func (c deadLettersList) Run(ctx context.Context, e env) error {
	cfg, err := lettersIn(ctx, e, c.Kafka)
	if err != nil {
		return err
	}
	letters, err := deadletters.List(ctx, cfg, stream.Deps{Log: e.log}, deadletters.Filter{Group: c.Group, Topic: c.Topic, Open: c.Open})
	if err != nil {
		return err
	}
	if c.JSON {
		return deadletters.PrintJSON(e.stdout, letters...)
	}
	return deadletters.PrintList(e.stdout, letters)
}

// deadLettersShow shows a dead letter.
type deadLettersShow struct {
	Kafka connect.Kafka `embed:""`
	ID    string        `arg:"" help:"The dead letter, as list prints it: group/topic/partition/offset."`
	Raw   bool          `name:"raw" help:"Write the record's bytes to stdout, and nothing else."`
	JSON  bool          `name:"json" help:"Print it as a JSON object, with its bytes in base64."`
}

// Validate says what is wrong with the flags.
func (c deadLettersShow) Validate() error {
	_, err := deadletters.ParseID(c.ID)
	if c.Raw && c.JSON {
		err = errors.Join(err, errors.New("--raw and --json exclude each other"))
	}
	return errors.Join(err, c.Kafka.Required())
}

// Run implements the command.
func (c deadLettersShow) Run(ctx context.Context, e env) error {
	id, err := deadletters.ParseID(c.ID)
	if err != nil {
		return err
	}
	cfg, err := lettersIn(ctx, e, c.Kafka)
	if err != nil {
		return err
	}
	l, err := deadletters.Find(ctx, cfg, stream.Deps{Log: e.log}, id)
	switch {
	case err != nil:
		return err
	case c.Raw:
		_, err = e.stdout.Write(l.Value)
		return err
	case c.JSON:
		return deadletters.PrintJSON(e.stdout, l)
	default:
		return deadletters.Print(e.stdout, l)
	}
}

// deadLettersRetry puts records back.
type deadLettersRetry struct {
	letterFilter `embed:""`

	Kafka connect.Kafka `embed:""`
	IDs   []string      `arg:"" optional:"" name:"id" help:"Dead letters, as list prints them."`
	All   bool          `name:"all" help:"All that --group and --topic choose and that were not retried yet."`
}

// Help is shown below the summary.
func (deadLettersRetry) Help() string {
	return `A record is put back at the end of the partition that it is from: its own bytes and headers, behind what came after
it meanwhile. That is done once; asked again, the command says when it was. If the consumer refuses the record again, that
is another dead letter, of a later offset.

Only queues take records back: submissions, conversation-commands and the topics of deliveries. The records of events and
conversations were used by others already; what reads those is rebuilt from the log instead.`
}

// Validate says what is wrong with the flags.
func (c deadLettersRetry) Validate() error {
	var errs []error
	for _, text := range c.IDs {
		_, err := deadletters.ParseID(text)
		errs = append(errs, err)
	}
	switch {
	case len(c.IDs) == 0 && !c.All:
		errs = append(errs, errors.New("name dead letters, or all of them with --all"))
	case len(c.IDs) > 0 && (c.All || c.Group != "" || c.Topic != ""):
		errs = append(errs, errors.New("dead letters are named, or chosen with --all, --group and --topic; not both"))
	}
	return errors.Join(append(errs, c.Kafka.Required())...)
}

// Run implements the command. One that cannot be put back does not keep the others from it.
func (c deadLettersRetry) Run(ctx context.Context, e env) error {
	cfg, err := lettersIn(ctx, e, c.Kafka)
	if err != nil {
		return err
	}
	deps := stream.Deps{Log: e.log}
	ids, err := c.chosen(ctx, cfg, deps)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		done, err := deadletters.Retry(ctx, cfg, deps, id)
		switch {
		case err != nil:
			errs = append(errs, err)
		case done.Already:
			_, _ = fmt.Fprintf(e.stdout, "%s was retried already at %s\n", id, done.RetriedAt.Format("2006-01-02T15:04:05Z07:00")) // it is done, read or not
		default:
			_, _ = fmt.Fprintf(e.stdout, "%s is retried\n", id) // it is done, read or not
		}
	}
	return errors.Join(errs...)
}

func (c deadLettersRetry) chosen(ctx context.Context, cfg stream.Config, deps stream.Deps) ([]deadletters.ID, error) {
	var ids []deadletters.ID
	for _, text := range c.IDs {
		id, err := deadletters.ParseID(text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if !c.All {
		return ids, nil
	}
	letters, err := deadletters.List(ctx, cfg, deps, deadletters.Filter{Group: c.Group, Topic: c.Topic, Open: true})
	for _, l := range letters {
		ids = append(ids, l.ID())
	}
	return ids, err
}

// lettersIn is the Kafka that has the dead letters, once it answers.
func lettersIn(ctx context.Context, e env, kafka connect.Kafka) (stream.Config, error) {
	cfg, err := kafka.Config("throughline-dead-letters")
	if err != nil {
		return stream.Config{}, err
	}
	if err := reach(ctx, e, cfg); err != nil {
		return stream.Config{}, err
	}
	cluster, err := stream.Ask(ctx, cfg, e.log)
	cfg.Embedded = cluster.ID == embedded.KfakeCluster
	return cfg, err
}
