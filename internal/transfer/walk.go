package transfer

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// planners is how many folders are compared at the same time, so that a far
// link's round trips overlap.
const planners = 32

// Together calls do with 0 to n-1, as many at the same time as folders are
// compared, and returns when all are done.
func Together(n int, do func(i int)) {
	var g errgroup.Group
	g.SetLimit(planners)
	for i := range n {
		g.Go(func() error { do(i); return nil })
	}
	_ = g.Wait()
}

// folderJob compares one folder of the source with its target.
type folderJob struct {
	pair
	fresh  bool // the target folder was just made: it is empty
	itself bool // the folder gets its source's mode and time, not only what is in it
	// finishes means that mode and time of the folder will be set; see finishFolder.
	finishes bool
	told     bool   // see folderMeta
	inside   string // see Side.inside; set by compare
	// below is the path of the folder for Options.Filter, with a slash at its end; "" if the
	// contents of the folder are the source, or there is no filter.
	below string
	// only is what is listed in the folder; nil if there is no list.
	only *only
	// spared is set below a folder that Options.Leave protects: nothing is removed from it.
	spared bool
}

// stack is the folders still to compare, last in first out which keeps it short unless folders
// have many subfolders, for a fixed number of planners.
type stack struct {
	mu   sync.Mutex
	cond *sync.Cond
	jobs []folderJob
	busy int
	over bool
}

func (s *stack) push(j folderJob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, j)
	s.cond.Signal()
}

func (s *stack) pop() (folderJob, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.over {
			return folderJob{}, false
		}
		if n := len(s.jobs); n > 0 {
			j := s.jobs[n-1]
			s.jobs = s.jobs[:n-1]
			s.busy++
			return j, true
		}
		if s.busy == 0 {
			s.over = true
			s.cond.Broadcast()
			return folderJob{}, false
		}
		s.cond.Wait()
	}
}

func (s *stack) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	if s.busy == 0 && len(s.jobs) == 0 {
		s.cond.Broadcast()
	}
}

func (s *stack) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.cond.Broadcast()
}

// walk compares folders until none is left. step handles one folder and may
// push more.
func walk(ctx context.Context, first []folderJob, step func(folderJob, *stack)) {
	s := &stack{jobs: first}
	s.cond = sync.NewCond(&s.mu)
	defer context.AfterFunc(ctx, s.stop)()
	var wg sync.WaitGroup
	for range planners {
		wg.Go(func() {
			for {
				j, ok := s.pop()
				if !ok {
					return
				}
				step(j, s)
				s.done()
			}
		})
	}
	wg.Wait()
}
