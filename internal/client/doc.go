// Package client is a connection to one server, and what a user can ask of it:
// log in, list, verify, put and get. A Remote dials, reconnects by itself and
// opens lanes for a transfer. PreparePut and PrepareGet settle where each source
// of a copy goes; package transfer then moves the bytes.
//
// The key and the certificate are those of a profile.Profile. Without TLS a Remote
// speaks only to the teaching world on this computer.
package client
