package client

import (
	"io/fs"

	"hufu"
)

// unsendable is the error of something that is named as a source and is neither
// a file nor a folder nor a link; nil for those. In folders such things are
// passed over.
func unsendable(op, path string, mode fs.FileMode) error {
	var code string
	switch {
	case mode.IsRegular(), mode.IsDir(), mode&fs.ModeSymlink != 0:
		return nil
	case mode&fs.ModeNamedPipe != 0:
		code = "source_pipe"
	case mode&fs.ModeSocket != 0:
		code = "source_socket"
	case mode&fs.ModeDevice != 0:
		code = "source_device"
	default:
		code = "special_file"
	}
	return &hufu.Error{Op: op, Path: path, Kind: hufu.KindUnsupported, Code: code}
}
