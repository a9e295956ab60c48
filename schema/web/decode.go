package web

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/throughline/throughline/schema/problem"
)

// DecodeJSON reads one JSON value into v, strictly: names match by case, a
// name may appear once in an object, unknown members are refused, text is
// UTF-8, and nothing follows the value. null leaves a member at its zero
// value; a raw member (encoding/json's RawMessage) keeps its bytes as they
// came. What cannot be parsed is a 400 with line, column and pointer; what can,
// but is not what v holds, is a 422 that names the member. An error of a type's
// own UnmarshalText or UnmarshalJSON becomes the detail, so it must be fit for
// a client.
func DecodeJSON(data []byte, v any) error {
	trimmed := bytes.Trim(data, " \t\r\n")
	if len(trimmed) == 0 {
		return problem.New(problem.MalformedJSON, "The body is empty; a JSON value is expected.")
	}
	err := json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	if err == nil {
		if string(trimmed) == "null" {
			return problem.Invalid(problem.Atf("", "expected %s, not null", expected(reflect.TypeOf(v))))
		}
		return nil
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return malformed(data, syntax)
	}
	// A wrong type is found before a syntax error that stands behind it, but a
	// body that is no JSON at all has no members to be wrong.
	if syntax := check(data); syntax != nil {
		return malformed(data, syntax)
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		return problem.Invalid(problem.At(string(semantic.JSONPointer), explain(semantic))).WithCause(err)
	}
	return problem.Invalid(problem.At("", err.Error()))
}

// check reads the value without interpreting it and returns its first syntax
// error.
func check(data []byte) *jsontext.SyntacticError {
	var raw jsontext.Value
	err := json.Unmarshal(data, &raw)
	syntax, _ := errors.AsType[*jsontext.SyntacticError](err)
	return syntax
}

// malformed is a 400 that says where, in the three ways that people look.
func malformed(data []byte, e *jsontext.SyntacticError) error {
	offset := min(int(e.ByteOffset), len(data))
	line := 1 + bytes.Count(data[:offset], []byte{'\n'})
	column := 1 + utf8.RuneCount(data[bytes.LastIndexByte(data[:offset], '\n')+1:offset])
	var what string
	switch {
	case errors.Is(e.Err, io.ErrUnexpectedEOF):
		what = "the value is not finished"
	case errors.Is(e.Err, jsontext.ErrDuplicateName):
		what = fmt.Sprintf("the name %q appears twice in one object", e.JSONPointer.LastToken())
	default:
		what = e.Err.Error()
	}
	p := problem.Newf(problem.MalformedJSON, "Line %d, column %d (byte %d): %s.", line, column, offset, what)
	p.Errors = []problem.Fault{problem.At(string(e.JSONPointer), what)}
	return p.WithExtra("line", line).WithExtra("column", column).WithExtra("offset", offset)
}

// explain says what was expected of a member.
func explain(e *json.SemanticError) string {
	timeError := (*time.ParseError)(nil)
	switch {
	case errors.Is(e.Err, json.ErrUnknownName):
		return unknownMember(e)
	case errors.Is(e.Err, strconv.ErrRange):
		return "the number is out of range"
	case errors.Is(e.Err, strconv.ErrSyntax), e.Err == nil, e.JSONKind != jsontext.KindString && readsText(e.GoType):
		return "expected " + expected(e.GoType) + ", not " + kindName(e.JSONKind, e.JSONValue)
	case errors.As(e.Err, &timeError):
		return "expected a time as in RFC 3339"
	default:
		return e.Err.Error()
	}
}

// unknownMember lists the members there are: most unknown ones are misspelt.
func unknownMember(e *json.SemanticError) string {
	names := memberNames(e.GoType)
	if len(names) == 0 {
		return "unknown member"
	}
	return "unknown member; the members here are " + strings.Join(names, ", ")
}

func memberNames(t reflect.Type) []string {
	if t == nil {
		return nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name != "":
			names = append(names, name)
		case f.Anonymous:
			names = append(names, memberNames(f.Type)...)
		case f.IsExported():
			names = append(names, f.Name)
		}
	}
	return names
}

// expected names the JSON that a Go type is read from.
func expected(t reflect.Type) string {
	if t == nil {
		return "another value"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if readsText(t) {
		return "a string"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "another value"
	}
}

// readsText reports whether a type is read from strings alone, by a method of
// its own.
func readsText(t reflect.Type) bool {
	if t == nil {
		return false
	}
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) && !p.Implements(reflect.TypeFor[json.Unmarshaler]())
}

func kindName(k jsontext.Kind, value jsontext.Value) string {
	switch k {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		if len(value) > 0 && len(value) <= 32 {
			return string(value)
		}
		return "a number"
	case jsontext.KindBeginArray:
		return "an array"
	case jsontext.KindBeginObject:
		return "an object"
	default:
		return "this"
	}
}
