package session

import "sync"

// Intake bounds what the requests that have come and were not carried out yet
// take of memory, on all connections that share it. One user's may take as much as
// is left for others: half of it while alone, a third each of two. A connection
// that finds no room is not read until there is some.
type Intake struct {
	limit int

	mu   sync.Mutex
	room *sync.Cond
	used int
	by   map[string]int
}

// NewIntake makes room for so many bytes.
func NewIntake(bytes int) *Intake {
	in := &Intake{limit: bytes, by: map[string]int{}}
	in.room = sync.NewCond(&in.mu)
	return in
}

// take waits until who may have n bytes more, or ended reports true: then it
// reports false and nothing was taken. Somebody who has nothing gets the first
// as soon as it fits.
func (in *Intake) take(who string, n int, ended func() bool) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.used+n > in.limit || in.by[who] > 0 && in.by[who]+n > in.limit-in.used-n {
		if ended() {
			return false
		}
		in.room.Wait()
	}
	in.used += n
	in.by[who] += n
	return true
}

func (in *Intake) give(who string, n int) {
	if n == 0 {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.used -= n
	if in.by[who] -= n; in.by[who] == 0 {
		delete(in.by, who)
	}
	in.room.Broadcast()
}

// wake has those who wait look whether they have ended.
func (in *Intake) wake() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.room.Broadcast()
}
