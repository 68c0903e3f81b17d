package queue

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hufu"
)

// Files below Dirs.State that remember a setting of all jobs.
const (
	limitFile = "speed-limit"
	lanesFile = "lanes"
)

const (
	minLimit = 16 << 10 // the lowest limit, in bytes a second: below it a chunk takes minutes
	maxLanes = 64       // more connections than this only cost memory
)

// Limit returns how many bytes of files all jobs together may transfer in a second; 0 is no limit.
func (q *Queue) Limit() int64 { return q.rate.Load() }

// SetLimit sets Limit, for the jobs that run as well, and remembers it for the next start. The
// error is KindInvalid with the code limit_low for a limit below 16 KiB a second.
func (q *Queue) SetLimit(bytes int64) error {
	if !isLimit(bytes) {
		return &hufu.Error{Op: "limit speed", Kind: hufu.KindInvalid, Code: "limit_low"}
	}
	return q.remember(limitFile, bytes, func() { q.rate.Store(bytes) })
}

// Lanes returns how many lanes a job uses; 0 leaves it to the distance of the server.
func (q *Queue) Lanes() int { return int(q.lanes.Load()) }

// SetLanes sets Lanes for the jobs that start or resume from now on, and remembers it for the next
// start. The error is KindInvalid with the code lanes_range unless lanes is between 0 and 64.
func (q *Queue) SetLanes(lanes int) error {
	if !isLanes(int64(lanes)) {
		return &hufu.Error{Op: "set lanes", Kind: hufu.KindInvalid, Code: "lanes_range"}
	}
	return q.remember(lanesFile, int64(lanes), func() { q.lanes.Store(int64(lanes)) })
}

func isLimit(n int64) bool { return n == 0 || n >= minLimit }
func isLanes(n int64) bool { return n >= 0 && n <= maxLanes }

// remember writes a setting, and calls set if that has succeeded.
func (q *Queue) remember(file string, n int64, set func()) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.open(); err != nil {
		return err
	}
	if err := q.o.Dirs.Keep(file, []byte(strconv.FormatInt(n, 10)+"\n")); err != nil {
		return err
	}
	set()
	q.touchLocked()
	return nil
}

// remembered reads what remember has written; anything that is no such setting is 0.
func (q *Queue) remembered(file string, is func(int64) bool) int64 {
	data, err := os.ReadFile(filepath.Join(q.o.Dirs.State, file))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil || !is(n) {
		return 0
	}
	return n
}
