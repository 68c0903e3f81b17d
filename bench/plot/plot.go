// Command plot turns the CSV of the runner into a table in Markdown, which it
// prints as well, and a plot in SVG, both beside the CSV.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "Usage: plot FILE.csv")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(name string) error {
	head, tables, err := read(name)
	if err != nil {
		return err
	}
	if len(tables) == 0 {
		return fmt.Errorf("%s: nothing was measured", name)
	}
	text := markdown(head, tables)
	fmt.Print(text)
	base := strings.TrimSuffix(name, ".csv")
	return errors.Join(
		os.WriteFile(base+".md", []byte(text), 0o644),
		os.WriteFile(base+".svg", []byte(svg(tables)), 0o644))
}
