package gui

import "hufu/internal/client"

// AsBrowser is the variable that makes a run of the test a browser: it reports
// its arguments to the address in the variable.
const AsBrowser = "HUFU_TEST_BROWSER"

// TestDisk is the disk of the tests. TestMain sets it: a test inside this package
// must not import the package that implements it.
var TestDisk client.Disk
