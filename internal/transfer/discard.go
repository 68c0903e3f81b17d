package transfer

import (
	"context"
	"errors"
	"time"
)

// ErrDiscard is the cause with which a context is canceled to give the transfer up for good: what
// this transfer has brought of unfinished files is removed at the target instead of kept for
// resuming.
var ErrDiscard = errors.New("transfer given up")

// abandonTime is how long a transfer that is given up waits for the server to forget an upload;
// otherwise the upload stays until the server expires it.
const abandonTime = 5 * time.Second

func discarded(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrDiscard) }

func (e *Engine) abandon(ctx context.Context, upload string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	_ = e.far.Abandon(ctx, upload)
}
