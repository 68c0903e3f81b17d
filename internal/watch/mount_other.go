//go:build !unix

package watch

func mount(string) uint64 { return 0 }
