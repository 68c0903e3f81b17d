package transfer

import (
	"context"
	"errors"
	"time"
)

// ErrDiscard is the cause of a context's end that gives the transfer up for
// good: what has arrived of unfinished files is removed at both ends
// instead of kept for resuming.
var ErrDiscard = errors.New("transfer given up")

// abandonTime is how long a transfer that is given up waits for the server to
// forget an upload; after that the server forgets it by itself.
const abandonTime = 5 * time.Second

func discarded(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrDiscard) }

func (e *Engine) abandon(ctx context.Context, upload string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	_ = e.far.Abandon(ctx, upload)
}
