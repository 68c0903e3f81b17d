//go:build !linux

package session

import "time"

// rtt, steer and unsent are for Linux; elsewhere the system's own choice stands.
func (socket) rtt() time.Duration { return 0 }

func (socket) steer(...string) string { return "" }

func (socket) unsent(int) {}
