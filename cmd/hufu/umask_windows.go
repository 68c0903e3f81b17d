package main

// umask returns the bits of a mode that the files that this user creates do not get.
func umask() uint32 { return 0 }
