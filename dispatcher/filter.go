package dispatcher

import (
	"encoding/json"
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
)

// maxFilterCost bounds what one evaluation of a filter may do, in steps of the interpreter. A filter of a few comparisons
// takes some dozens; one that walks over 200 links some thousands.
const maxFilterCost = 20_000

// filters compiles filters. It is safe for concurrent use.
type filters struct{ env *cel.Env }

func newFilters() (*filters, error) {
	env, err := cel.NewEnv(
		cel.Variable("type", cel.StringType),
		cel.Variable("data", cel.MapType(cel.StringType, cel.DynType)),
		// Numbers of JSON are doubles; people write 10 and mean any number.
		cel.CrossTypeNumericComparisons(true),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare filters: %w", err)
	}
	return &filters{env: env}, nil
}

// filter says which events an endpoint wants. A nil one lets everything through.
type filter struct{ program cel.Program }

// compile makes a filter of a CEL expression over type and data. The error is fit for the one who wrote it.
func (f *filters) compile(expression string) (*filter, error) {
	if expression == "" {
		return nil, nil //nolint:nilnil // no filter is a filter that lets everything through
	}
	ast, issues := f.env.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("is not a CEL expression over type and data: %w", err)
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("must give true or false, not %s", t)
	}
	program, err := f.env.Program(ast, cel.CostLimit(maxFilterCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("cannot be evaluated: %w", err)
	}
	return &filter{program: program}, nil
}

var errNotBool = errors.New("filter gave no boolean")

// matches evaluates the filter. An error means that the event does not match.
func (f *filter) matches(eventType string, data map[string]any) (bool, error) {
	if f == nil {
		return true, nil
	}
	out, _, err := f.program.Eval(map[string]any{"type": eventType, "data": data})
	if err != nil {
		return false, fmt.Errorf("evaluate filter: %w", err)
	}
	matched, ok := out.Value().(bool)
	if !ok {
		return false, errNotBool
	}
	return matched, nil
}

// parseData reads the member data of a body for filters.
func parseData(body []byte) (map[string]any, error) {
	var b struct {
		Data map[string]any `json:"data"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return b.Data, nil
}
