package problem

import (
	"net/http"
	"slices"
)

// URN is the prefix of every problem type of this API. A URN, because a type
// identifies: the description stands in the generated reference, which moves.
const URN = "urn:throughline:problem:"

// Type is the last part of a problem type: the catalogue's key.
type Type string

// The problem types. Clients branch on them, so a type is never renamed and
// never reused for something else.
const (
	MalformedBody        Type = "malformed-body"
	MalformedJSON        Type = "malformed-json"
	BadParameter         Type = "bad-parameter"
	BadCursor            Type = "bad-cursor"
	BadPosition          Type = "bad-position"
	Unauthorized         Type = "unauthorized"
	Forbidden            Type = "forbidden"
	WorkspaceSuspended   Type = "workspace-suspended"
	NotFound             Type = "not-found"
	ObjectNotFound       Type = "object-not-found"
	MethodNotAllowed     Type = "method-not-allowed"
	RequestTimeout       Type = "request-timeout"
	Conflict             Type = "conflict"
	TransitionNotAllowed Type = "transition-not-allowed"
	VersionConflict      Type = "version-conflict"
	TooLarge             Type = "too-large"
	UnsupportedMediaType Type = "unsupported-media-type"
	InvalidMember        Type = "invalid-member"
	InvalidPath          Type = "invalid-path"
	TooBroad             Type = "too-broad"
	TooManyRequests      Type = "too-many-requests"
	Internal             Type = "internal"
	Unavailable          Type = "unavailable"
	PositionNotReached   Type = "position-not-reached"
)

// Entry is what the catalogue says about a problem type.
type Entry struct {
	// Type is the key.
	Type Type
	// Status is the HTTP status of every problem of this type.
	Status int
	// Title is the same for every problem of this type.
	Title string
	// Description is the sentence of the reference, and the detail of a
	// problem that was given none.
	Description string
	// Kind is what a caller does about it.
	Kind Kind
}

// Catalogue lists every problem type, by status and then by type. The problem
// reference is generated from it.
func Catalogue() []Entry {
	return []Entry{
		{BadCursor, http.StatusBadRequest, "Bad cursor", "The cursor was not made by this route, or for other parameters.", Reject},
		{BadParameter, http.StatusBadRequest, "Bad query parameter", "A query parameter is unknown, or its value cannot be read.", Reject},
		{BadPosition, http.StatusBadRequest, "Bad position", "The position is malformed, or of another workspace.", Reject},
		{MalformedBody, http.StatusBadRequest, "Malformed body", "The body cannot be read: it is missing, cut short, or not in the encoding it declares.", Reject},
		{MalformedJSON, http.StatusBadRequest, "Malformed JSON", "The body is not one JSON value in UTF-8 with unique member names.", Reject},
		{Unauthorized, http.StatusUnauthorized, "Unauthorized", "The request carries no API key, or one that is unknown, expired or revoked.", Reject},
		{Forbidden, http.StatusForbidden, "Forbidden", "The API key lacks the scope that this route needs.", Reject},
		{WorkspaceSuspended, http.StatusForbidden, "Workspace suspended", "The workspace of the API key is suspended.", Reject},
		{NotFound, http.StatusNotFound, "Not found", "There is nothing at this address.", Reject},
		{ObjectNotFound, http.StatusNotFound, "Object Not found", "The primary object is not known in this workspace.", Reject},
		{MethodNotAllowed, http.StatusMethodNotAllowed, "Method not allowed", "The address exists, but not for this method; the Allow header lists those it has.", Reject},
		{RequestTimeout, http.StatusRequestTimeout, "Request timeout", "The body did not arrive in time.", Retry},
		{Conflict, http.StatusConflict, "Conflict", "The request contradicts what is stored.", Reject},
		{TransitionNotAllowed, http.StatusConflict, "Transition Not Allowed", "The conversation's state does not allow this transition.", Reject},
		{VersionConflict, http.StatusConflict, "Version Conflict", "The conversation is not at the expected version.", Reject},
		{TooLarge, http.StatusRequestEntityTooLarge, "Too large", "The body, or an item of it, exceeds a limit; the detail names it.", Reject},
		{UnsupportedMediaType, http.StatusUnsupportedMediaType, "Unsupported media type", "The body's content type, charset or content encoding is not supported.", Reject},
		{InvalidMember, http.StatusUnprocessableEntity, "Invalid member", "A member of the body is missing, unknown or invalid; errors names each.", Reject},
		{InvalidPath, http.StatusUnprocessableEntity, "Invalid path", "A segment of the path is not a valid value.", Reject},
		{TooBroad, http.StatusUnprocessableEntity, "Too broad", "Answering would read more than one request may. Narrow the time range or the filters.", Reject},
		{TooManyRequests, http.StatusTooManyRequests, "Too many requests", "The rate limit of the API key is spent; Retry-After says when to come back.", Retry},
		{Internal, http.StatusInternalServerError, "Internal error", "The server failed. The request id finds the cause in its log.", Stop},
		{PositionNotReached, http.StatusServiceUnavailable, "Position not reached", "The writes of the position are not visible yet; ask again after Retry-After.", Retry},
		{Unavailable, http.StatusServiceUnavailable, "Unavailable", "The server cannot do this now; ask again after Retry-After.", Retry},
	}
}

// entry finds a type; one that is not in the catalogue is treated as internal,
// so that a slip in a handler never invents a status.
func entry(t Type) Entry {
	all := Catalogue()
	i := slices.IndexFunc(all, func(e Entry) bool { return e.Type == t })
	if i < 0 {
		i = slices.IndexFunc(all, func(e Entry) bool { return e.Type == Internal })
	}
	return all[i]
}
