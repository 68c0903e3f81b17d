// Package queue carries out transfers in the background. Its jobs are kept in a
// journal and survive a restart of the program; a job waits for a server that is
// away, can be paused, and asks about conflicts. Files that a browser hands over
// are first collected in a spool. The local page of package gui is its user.
package queue
