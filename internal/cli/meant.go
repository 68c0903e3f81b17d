package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Suggest sets what other programs call the commands below cmd: a map from a name to those words.
func Suggest(cmd *cobra.Command, words map[string]string) {
	for name, other := range words {
		child(cmd, name).SuggestFor = strings.Fields(other)
	}
}

// annotation of a flag: what other programs call it.
const otherWords = "other words"

// SuggestFlags sets what other programs call the flags of the commands below cmd: a map from a
// flag to those words.
func SuggestFlags(cmd *cobra.Command, words map[string]string) {
	for _, sub := range cmd.Commands() {
		SuggestFlags(sub, words)
	}
	for name, other := range words {
		if f := cmd.Flags().Lookup(name); f != nil {
			_ = cmd.Flags().SetAnnotation(name, otherWords, strings.Fields(other)) // it is there
		}
	}
}

// meantFlag returns the flag of cmd, with its dashes, that name was probably meant to be.
func meantFlag(name string, cmd *cobra.Command) string {
	var names []string
	called := ""
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names = append(names, f.Name)
		if slices.Contains(f.Annotations[otherWords], name) {
			called = f.Name
		}
	})
	if meant := cmp.Or(called, Meant(name, names)); meant != "" {
		return "--" + meant
	}
	return ""
}

// calledSo returns the command below cmd that other programs call by this word, "" if there is none.
func calledSo(word string, cmd *cobra.Command) string {
	for _, sub := range cmd.Commands() {
		if Listed(sub) && slices.Contains(sub.SuggestFor, strings.ToLower(word)) {
			return sub.Name()
		}
	}
	return ""
}

// Meant returns the candidate that a word with a slip was probably meant to be, "" if none is
// close: one that differs in few letters, or begins with the word.
func Meant(word string, candidates []string) string {
	best, found := 2+len(word)/7, "" // one slip in short words, two from seven letters on
	for _, c := range candidates {
		d := distance(strings.ToLower(word), strings.ToLower(c))
		if len(word) >= 3 && strings.HasPrefix(c, word) {
			d = min(d, 1)
		}
		if d < best && d < len(word) {
			best, found = d, c
		}
	}
	return found
}

// distance is how many letters must be added, dropped, changed or swapped with their neighbor to
// make a into b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
