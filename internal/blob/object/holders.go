package object

import (
	"context"
	"time"

	"hufu/internal/meta"
)

// defaultHold is how long the row of a holder lasts that is not extended: other processes count an
// upload as open until then. It is extended three times as often.
const defaultHold = 30 * time.Second

// partTime is how long Close waits for the last words to the database.
const partTime = time.Second

// stay extends the rows of the uploads that are open here, as long as there are any and until Close.
func (s *Trees) stay() {
	tick := time.NewTicker(s.o.Hold / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.life.Done():
		}
		s.mu.Lock()
		ids := make([]meta.ID, 0, len(s.uploads))
		for id := range s.uploads {
			ids = append(ids, id)
		}
		if len(ids) == 0 || s.life.Err() != nil {
			s.staying = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		_ = s.names.Extend(s.life, s.grip, s.o.Hold, ids...) // the next time comes before a row ends
	}
}

// letGo tells other processes that an upload is not open here any more. It does not wait: until they
// know, they leave the upload alone.
func (u *upload) letGo() {
	s := u.t.s
	s.rest.Go(func() {
		ctx, cancel := context.WithTimeout(s.late, s.after)
		defer cancel()
		release, err := u.t.alone(ctx, "close upload", u.key.Path) // nobody opens it meanwhile
		if err != nil {
			return // the row ends by itself
		}
		defer release()
		if !s.held(u.id) {
			_ = s.names.LetGo(ctx, u.id, s.grip)
		}
	})
}

// Close waits a moment for what closed uploads have left to do. The database and the bucket stay the caller's.
func (s *Trees) Close() error {
	s.end()
	defer time.AfterFunc(partTime, s.cut).Stop()
	defer s.cut()
	s.rest.Wait()
	s.stays.Wait()
	return nil
}
