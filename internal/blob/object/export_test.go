package object

import (
	"time"

	"hufu/internal/blob"
)

// Charged returns how many bytes of memory unfinished uploads take.
func (s *Trees) Charged() int64 { return s.values.Used() }

// Staged is how much memory staged files take.
func (s *Trees) Staged() int64 { return s.room.Used() }

// Hurry sets how long a call may take for its work after its context has ended.
func (s *Trees) Hurry(d time.Duration) { s.after = d }

// Locked reports whether somebody has one of the mutexes of an upload or of its store.
func Locked(u blob.Upload) bool {
	up := u.(*holder).u
	for _, mu := range []interface {
		TryLock() bool
		Unlock()
	}{&up.t.s.mu, &up.mu} {
		if !mu.TryLock() {
			return true
		}
		mu.Unlock()
	}
	return false
}

// Grip returns what names this process in the database.
func (s *Trees) Grip() string { return s.grip }

// Settle waits for what closed uploads have left to do.
func (s *Trees) Settle() { s.rest.Wait() }
