//go:build !linux

package session

import "time"

// These are for Linux; other systems keep their own choice.
func (socket) rtt() time.Duration { return 0 }

func (socket) acknowledged() int64 { return 0 }

func (socket) steer(...string) string { return "" }

func (socket) slowStartOver() bool { return true }

func (socket) resend(time.Duration) {}

func (socket) unsent(int) {}
