package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"hufu"
	"hufu/internal/blob/mem"
	"hufu/internal/digest"
)

// unit is what the larger stores of these tests take at once.
const unit = 2 * hufu.ChunkSize

// unitSizes are files of two units and less, more, and something between.
var unitSizes = []int{2*unit + 1, 2*unit - 1, unit, unit + hufu.ChunkSize}

// TestUnits breaks lanes at every request, once with each unit of both ends, and then
// at random: a store that takes more than a chunk at once gets the chunks of
// each unit in order over one lane, and every file arrives whole.
func TestUnits(t *testing.T) {
	t.Parallel()
	var total int64
	src, want := newNear(t), map[string][]byte{}
	for i, size := range unitSizes {
		name := fmt.Sprint("f", i)
		want[name] = noise(size, byte(i))
		src.write(name, want[name])
		total += int64(size)
	}
	for _, far := range []int64{hufu.ChunkSize, unit} {
		for _, near := range []int64{hufu.ChunkSize, unit} {
			for _, after := range []bool{false, true} {
				for _, lanes := range []int{1, 3} {
					t.Run(fmt.Sprintf("%d %d %v %d", far>>20, near>>20, after, lanes), func(t *testing.T) {
						t.Parallel()
						for _, n := range []int64{1, 2, 3, 0} {
							w := newWorld()
							w.unit = far
							breaks := func(op string) {
								w.fault = nth(op, n, after, errLoseLane)
								if n == 0 {
									var few atomic.Int64
									w.fault = func(o string, _ hufu.Path, a bool) error {
										if o == op && a == after && rand.IntN(12) == 0 && few.Add(1) < 12 {
											return errLoseLane
										}
										return nil
									}
								}
							}
							breaks("range")
							var told reports
							e := New(w, Options{Lanes: lanes, Owner: "test", Report: told.add})
							if err := e.Put(t.Context(), src.all()); err != nil || told.codes() != "" {
								t.Fatal(err, told.codes())
							}
							if done := e.Stats.BytesDone.Load(); done != total {
								t.Errorf("put: %d bytes of %d are done", done, total)
							}
							breaks("read")
							told = nil
							back := mem.New(mem.Options{Unit: near})
							e = New(w, Options{Lanes: lanes, Owner: "test", Report: told.add})
							if err := e.Get(t.Context(), []Source{{Side: Side{Store: back, Local: "/back"}, Contents: true}}); err != nil || told.codes() != "" {
								t.Fatal(err, told.codes())
							}
							if done := e.Stats.BytesDone.Load(); done != total {
								t.Errorf("get: %d bytes of %d are done", done, total)
							}
							for name, data := range want {
								if got, _ := w.content(name); !bytes.Equal(got, data) {
									t.Errorf("%s arrived as %d bytes", name, len(got))
								}
								e, err := back.Stat(t.Context(), must(hufu.ParsePath(name)))
								if err != nil || e.Digest != digest.Sum(data) {
									t.Errorf("%s came back as %d bytes, %v", name, e.Size, err)
								}
							}
						}
					})
				}
			}
		}
	}
}

// TestUnitsResume: whole units are not sent again, and nothing of the others counts.
func TestUnitsResume(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	w.unit = unit
	back := mem.New(mem.Options{Unit: unit})
	data := noise(5*unit+1, 1)
	src.write("large", data)
	enough := errors.New("enough")
	for _, op := range []string{"range", "read"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := nth(op, 6, false, enough) // within the third unit
		w.fault = func(o string, p hufu.Path, after bool) error {
			if stop(o, p, after) != nil {
				cancel(enough)
				return errLoseLane
			}
			return nil
		}
		run := func(ctx context.Context) (resumed, sent int64, err error) {
			e := New(w, Options{Lanes: 1, Owner: "test"})
			if op == "range" {
				err = e.Put(ctx, src.all())
			} else {
				err = e.Get(ctx, []Source{{Side: Side{Store: back, Local: "/back"}, Contents: true}})
			}
			return e.Stats.Resumed.Load(), e.Stats.Sent.Load(), err
		}
		if _, sent, err := run(ctx); !errors.Is(err, enough) || sent != 5*hufu.ChunkSize {
			t.Fatal(op, "the one that was not answered counts:", sent, err)
		}
		w.fault = nil
		resumed, sent, err := run(t.Context())
		if err != nil || resumed != 2*unit || sent != int64(len(data))-2*unit {
			t.Errorf("%s: %d bytes were there, %d came, %v", op, resumed, sent, err)
		}
	}
}

// TestUnitThatIsPartlyThere: a server that tells of some chunks of a unit, or of others
// than the file has, gets the whole unit.
func TestUnitThatIsPartlyThere(t *testing.T) {
	t.Parallel()
	w, src := newWorld(), newNear(t)
	w.unit = unit
	data := noise(2*unit, 1)
	src.write("large", data)
	cv := func(i int64) digest.CV { return digest.Chunk(data[i*hufu.ChunkSize:][:hufu.ChunkSize], i) }
	var up Upload
	up.ID, up.Unit = "u", unit
	for _, i := range []int64{0, 1, 2} { // chunk 3 is missing
		sum := cv(i)
		up.There.Add(i, sum[:], 4)
	}
	w.uploads["u"] = &arriving{
		must(hufu.ParsePath("large")), int64(len(data)), "", make([]byte, len(data)), make([]digest.CV, 4), make([]bool, 4), map[int64]half{},
	}
	copy(w.uploads["u"].data, data[:unit])
	for i := range int64(2) {
		w.uploads["u"].cvs[i], w.uploads["u"].have[i] = cv(i), true
	}
	var told reports
	e := New(opened{w, up}, Options{Lanes: 1, Owner: "test", Report: told.add})
	if err := e.Put(t.Context(), src.all()); err != nil || told.codes() != "" {
		t.Fatal(err, told.codes())
	}
	if got, _ := w.content("large"); !bytes.Equal(got, data) {
		t.Errorf("arrived as %d bytes", len(got))
	}
	if sent := e.Stats.Sent.Load(); sent != unit {
		t.Errorf("%d bytes were sent", sent)
	}
}

// opened is a world that answers every open with the same upload.
type opened struct {
	*world
	up Upload
}

func (o opened) Open(context.Context, hufu.Path, int64, string) (Upload, error) { return o.up, nil }

// TestUnitOrderEnds: a server to which no order is right is not sent to for ever, and one
// that was still reading a lost lane is.
func TestUnitOrderEnds(t *testing.T) {
	t.Parallel()
	for _, times := range []int64{3, math.MaxInt64} {
		w, src := newWorld(), newNear(t)
		w.unit = unit
		src.write("large", noise(2*unit, 1))
		var mu sync.Mutex
		seen := int64(0)
		w.fault = func(op string, _ hufu.Path, after bool) error {
			mu.Lock()
			defer mu.Unlock()
			if op == "range" && !after && seen < times {
				seen++
				return failed(hufu.KindInvalid, "unit_order")
			}
			return nil
		}
		told, err := put(t.Context(), w, Options{Lanes: 1}, src.all())
		want := ""
		if times > 3 {
			want = "unit_order"
		}
		if err != nil || told.codes() != want {
			t.Errorf("%d times: %v, %q", times, err, told.codes())
		}
	}
}

// breaks is a lane that is lost when it is to carry a chunk for the nth time.
type breaks struct {
	Lane

	n    int
	done []func(error) // of the chunks that were sent
}

func (b *breaks) Range(_ string, _ int64, _ []byte, _ bool, _ digest.CV, done func(error)) error {
	if b.n--; b.n == 0 {
		return ErrLost
	}
	b.done = append(b.done, done)
	return nil
}

// TestUnitBrokenOffCounts: a unit that a lost lane has broken off counts as sent when all
// of it is sent, so that the commit goes right behind the last chunk.
func TestUnitBrokenOffCounts(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 4; n++ { // which chunk the lane breaks at
		src := newNear(t)
		data := noise(2*unit, 1)
		src.write("large", data)
		opener := src.store.Opener()
		defer opener.Close()
		f, err := opener.Open(t.Context(), must(hufu.ParsePath("large")), "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		e := New(newWorld(), Options{})
		l := &large{source: f, chunks: 4, sent: make(chan struct{}), end: make(chan struct{})}
		l.it = &item{large: l, from: f.Entry()}
		l.setUnit(unit)
		l.unsent.Store(l.units)
		e.queue.addLarge(l)
		lane, buf := &breaks{n: n}, make([]byte, hufu.ChunkSize)
		for range 3 {
			if task, ok := e.queue.next(taker{}, false); ok {
				err := e.sendUnit(t.Context(), lane, task, buf)
				for _, done := range lane.done {
					done(err)
				}
				lane.done = nil
			}
		}
		select {
		case <-l.sent:
		default:
			t.Errorf("broken off at chunk %d: %d units count as not sent", n, l.unsent.Load())
		}
	}
}
