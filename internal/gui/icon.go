package gui

// Icon returns the picture of the program, as SVG.
func Icon() []byte {
	data, _ := web.ReadFile("web/icon.svg") // it is part of the program; a test reads it
	return data
}
