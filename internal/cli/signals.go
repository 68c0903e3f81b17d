package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Stopped is the cause of a context that a signal ended.
type Stopped struct{ Signal os.Signal }

func (s Stopped) Error() string { return "stopped by " + s.Signal.String() }

// stopOnSignal calls cancel with Stopped at the first signal, and lets the next one end the program.
// ended is closed when the command is over. The function that it returns undoes what it has set.
func (a *App) stopOnSignal(cancel context.CancelCauseFunc, ended <-chan struct{}) (undo func()) {
	signals := make(chan os.Signal, 1)
	ignored := signal.Ignored(os.Interrupt) // as by a script that starts a command in the background
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if a.HangUp && !signal.Ignored(syscall.SIGHUP) { // as it is by nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() { // ends with the program
		by := os.Signal(syscall.SIGTERM)
		select {
		case by = <-signals:
		case <-a.Stop:
		}
		if a.HangUp { // a terminal that is closed sends it twice: the shell does, and the system
			signal.Ignore(syscall.SIGHUP)
		}
		signal.Stop(signals) // the next one ends the program
		if ignored {
			go endAtNext(ended)
		}
		cancel(Stopped{by})
		select {
		case <-ended:
		case <-time.After(stoppingAfter):
			if a.ErrTerminal() != nil {
				a.Hint(a.Cat.T("cli.stopping"))
			}
		}
	}()
	return func() { signal.Stop(signals) }
}

// endAtNext ends the program at the next interrupt, where the system would ignore it, unless ended is
// closed before.
func endAtNext(ended <-chan struct{}) {
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt)
	defer signal.Stop(again)
	select {
	case <-again:
		os.Exit(128 + int(syscall.SIGINT))
	case <-ended:
	}
}
