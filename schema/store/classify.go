package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/tlsdial"
)

// Class is what to do about an error of ClickHouse: problem.Retry,
// problem.Reject or problem.Stop.
type Class = problem.Kind

// Code is an error code of the server with what it means here.
type Code struct {
	// Number and Name are ClickHouse's.
	Number int32
	Name   string
	// Class is what to do.
	Class Class
	// Reason says why.
	Reason string
}

// Classify says what to do about an error of Open, of a query or of an insert.
//
//   - Retry: the server was not reached, or broke off, or is short of something.
//     The outcome of an insert is then unknown: verify before sending it again.
//   - Reject: the query asked for more than it may have. A smaller one works.
//   - Stop: nothing heals by itself. An operator has to change a table, a right
//     or the program.
//
// A code that is not in Codes is Stop: who retries what nobody has thought
// about retries for ever. A nil error has no class; it is Stop too.
func Classify(err error) Class {
	if exception, ok := errors.AsType[*clickhouse.Exception](err); ok {
		return classifyCode(exception)
	}
	_, refused := tlsdial.Refused(err)
	switch {
	case refused:
		return problem.Stop // whoever is not trusted now is not trusted later
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return problem.Retry // the server may or may not have finished
	case isNetwork(err):
		return problem.Retry
	default:
		return problem.Stop
	}
}

// refusal puts what an error of a connection means in front of it, where that
// is a matter of trust or of the protocol.
func refusal(err error) error {
	if reason, ok := tlsdial.Refused(err); ok {
		return fmt.Errorf("%s: %w", reason, err)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", tlsdial.ErrHungUp, err)
	}
	return err
}

// classifyCode looks the code up. A distributed query wraps the code of the
// shard that failed, which then says more than the outer one.
func classifyCode(exception *clickhouse.Exception) Class {
	codes := Codes()
	for _, e := range slices.Backward(append([]clickhouse.Exception{*exception}, exception.Nested...)) {
		if i := slices.IndexFunc(codes, func(c Code) bool { return c.Number == e.Code }); i >= 0 {
			return codes[i].Class
		}
	}
	return problem.Stop
}

// isNetwork reports whether the connection failed rather than the server or
// the program. The driver's complaints about columns and batches are mistakes
// of the program, and come back on every try.
func isNetwork(err error) bool {
	var (
		operation *clickhouse.OpError
		convert   *column.ColumnConverterError
		network   net.Error
	)
	switch {
	case errors.As(err, &operation), errors.As(err, &convert):
		return false
	case errors.As(err, &network):
		return true
	default:
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
			errors.Is(err, io.ErrClosedPipe) ||
			errors.Is(err, clickhouse.ErrAcquireConnTimeout) || errors.Is(err, clickhouse.ErrConnectionClosed)
	}
}
