// Package profile holds one server and one identity on this computer: address
// and pinned root of the server, key and certificate of the user, and the login
// that was kept. It makes a profile (Enroll, EnrollOwn), renews its certificate,
// and proves a connection to its server (Dialer).
//
// The private key is made here and never leaves. No byte of the protocol goes to
// a server before it has proven its name against the pinned root.
package profile
