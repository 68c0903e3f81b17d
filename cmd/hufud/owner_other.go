//go:build !linux

package main

// portOwner names the process that listens on a port; only Linux tells it
// without further tools.
func portOwner(string) string { return "" }

// hasDesktop: macOS and Windows have one.
const hasDesktop = true
