package capture

import (
	"encoding/binary"
	"strings"
)

const (
	// appName is what a Recorder's files say of themselves.
	appName = "hufu "
	// sectionHead is the length of a section block in front of its options.
	sectionHead = 24
)

// Made reports whether head is the beginning of a file that Recorder.Save wrote. Its
// first 4 KiB suffice.
func Made(head []byte) bool { return strings.HasPrefix(application(head), appName) }

// application is the program that made a capture, by the options of its first
// block, "" if they do not say. What a Writer writes is little-endian.
func application(head []byte) string {
	if len(head) < sectionHead || binary.LittleEndian.Uint32(head) != blockSection || binary.LittleEndian.Uint32(head[8:]) != byteOrderMagic {
		return ""
	}
	for rest := head[sectionHead:]; len(rest) >= 4; {
		code, n := binary.LittleEndian.Uint16(rest), int(binary.LittleEndian.Uint16(rest[2:]))
		if code == optionEnd || len(rest) < 4+n {
			return ""
		}
		if code == optionApplication {
			return string(rest[4 : 4+n])
		}
		rest = rest[min(len(rest), 4+(n+3)&^3):]
	}
	return ""
}
