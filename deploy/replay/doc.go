// Package replay posts what once happened as conversations through the public API: traces of a call centre, each call a
// conversation, as fast as it goes or in time.
//
// A step of a conversation is sent once the server has decided the one before it, and each has a command id of its own.
// So a conversation's steps come in their order whatever is refused for a while, and sending them again changes nothing.
package replay
