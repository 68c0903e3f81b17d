package meta

import (
	"context"
	"slices"
	"strings"
)

// maxRows is the most rows that one statement writes, or looks for by name. SQLite takes 32,766
// parameters, PostgreSQL and MySQL 65,535; the longest row has 13.
const maxRows = 64

// rows repeats the part of a statement in braces, once for each of n rows.
func rows(query string, n int) string {
	before, rest, _ := strings.Cut(query, "{")
	row, after, _ := strings.Cut(rest, "}")
	return before + strings.Repeat(row+", ", n-1) + row + after
}

// maxIDs is the most ids that one statement has, where each row has no other parameter.
const maxIDs = 512

// parts calls do with the parts of a list, of at most maxRows each. Their lengths are powers of
// two, so that a database prepares few different statements.
func parts[T any](list []T, do func(part []T) error) error { return partsOf(maxRows, list, do) }

// partsOf is parts with another limit.
func partsOf[T any](most int, list []T, do func(part []T) error) error {
	for n := most; len(list) > 0; list = list[n:] {
		for n > len(list) {
			n /= 2
		}
		if err := do(list[:n]); err != nil {
			return err
		}
	}
	return nil
}

// execIDs runs a change of the rows with these ids, which follow the other parameters. It returns
// how many rows it touched.
func (q NameQueries) execIDs(ctx context.Context, op, query string, ids []ID, before ...any) (touched int64, err error) {
	err = partsOf(maxIDs, ids, func(part []ID) error {
		n, err := q.q.exec(ctx, op, rows(query, len(part)), append(slices.Clone(before), anys(part)...)...)
		touched += n
		return err
	})
	return touched, err
}

// anys returns ids as parameters.
func anys(ids []ID) []any {
	out := make([]any, 0, len(ids))
	for _, id := range ids {
		out = append(out, id)
	}
	return out
}
