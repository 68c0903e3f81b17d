package session

import "sync"

// Intake bounds the memory of requests that have arrived and were not carried out yet, on all
// connections that share it. One user never holds more than is still free: alone half of it, two
// users a third each. A connection that finds no space is not read until there is some.
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

// take waits until who may have n more bytes, or ended reports true: then it
// returns false and nothing was taken. A user who has nothing gets the first
// bytes as soon as they fit.
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

// wake makes all waiters check whether they have ended.
func (in *Intake) wake() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.room.Broadcast()
}
