package queue

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hufu"
)

// limitFile is the file below Dirs.State that remembers the limit of the speed.
const limitFile = "speed-limit"

// minLimit is the lowest limit, in bytes a second: below it a chunk takes minutes.
const minLimit = 16 << 10

// Limit returns how many bytes of files all jobs together may transfer in a second; 0 is no limit.
func (q *Queue) Limit() int64 { return q.rate.Load() }

// SetLimit sets Limit, for the jobs that run as well, and remembers it for the next start. The
// error is KindInvalid with the code limit_low for a limit below 16 KiB a second.
func (q *Queue) SetLimit(bytes int64) error {
	if bytes < 0 || bytes > 0 && bytes < minLimit {
		return &hufu.Error{Op: "limit speed", Kind: hufu.KindInvalid, Code: "limit_low"}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.open(); err != nil {
		return err
	}
	if err := q.o.Dirs.Keep(limitFile, []byte(strconv.FormatInt(bytes, 10)+"\n")); err != nil {
		return err
	}
	q.rate.Store(bytes)
	q.touchLocked()
	return nil
}

// loadLimit reads what SetLimit has written; a file that says something else is no limit.
func (q *Queue) loadLimit() int64 {
	data, err := os.ReadFile(filepath.Join(q.o.Dirs.State, limitFile))
	if err != nil {
		return 0
	}
	bytes, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil || bytes < minLimit {
		return 0
	}
	return bytes
}
