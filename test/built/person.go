//go:build e2e && linux

package built

// NewPerson is somebody who has not enrolled yet.
func NewPerson(bin, home string) Person { return Person{home, bin} }
