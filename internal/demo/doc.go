// Package demo shows what hufu's security consists of, on the user's own computer.
// Wire records what an eavesdropper reads without and with TLS, and has a man in
// the middle try. Explain verifies both ends of a connection step by step.
// Plaintext opens the teaching world without TLS, in which nothing is real.
package demo
