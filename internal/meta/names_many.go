package meta

import (
	"context"
	"strings"
)

// maxRows is the most rows that one statement writes or looks for. SQLite takes 32,766 parameters,
// PostgreSQL and MySQL 65,535; the longest row has 13.
const maxRows = 64

// rows repeats the part of a statement in braces, once for each of n rows.
func rows(query string, n int) string {
	before, rest, _ := strings.Cut(query, "{")
	row, after, _ := strings.Cut(rest, "}")
	return before + strings.Repeat(row+", ", n-1) + row + after
}

// parts calls do with the parts of a list, of at most maxRows each. Their lengths are powers of
// two, so that a database prepares few different statements.
func parts[T any](list []T, do func(part []T) error) error {
	for n := maxRows; len(list) > 0; list = list[n:] {
		for n > len(list) {
			n /= 2
		}
		if err := do(list[:n]); err != nil {
			return err
		}
	}
	return nil
}

// execIDs runs a change of the rows with these ids, which follow the moment of the change. It
// returns how many rows it touched.
func (q NameQueries) execIDs(ctx context.Context, op, query string, ids []ID) (touched int64, err error) {
	err = parts(ids, func(part []ID) error {
		args := []any{now()}
		for _, id := range part {
			args = append(args, id)
		}
		n, err := q.q.exec(ctx, op, rows(query, len(part)), args...)
		touched += n
		return err
	})
	return touched, err
}
