//go:build !race

// The search has no goroutines: the race detector would find nothing, slowly.

package object_test

import (
	"os"
	"testing"
)

// What follows is the life of one content as a model: two units, two processes, a clean-up, and
// faults. A search visits every state that can be reached. It looks for one in which a file lacks
// its bytes, an answer was wrong, or something is left for ever. Each step that the store takes
// against this can be left out, and then there is such a state: so none of them is idle, and the
// model would notice.
//
// It assumes that no request is on its way, and no process works on an upload that it has not
// looked at, for longer than the clean-up waits before it deletes keys for the second time.

// The steps that can be left out.
const (
	freshKeys = iota + 1
	checksums
	objectFirst
	rowIfAbsent
	rowIfOpen
	rowBeforeAnswer
	allUnits
	digestEqual
	voidedSince
	commitIfOpen
	releaseName
	abandonIfOpen
	deleteByPrefix
	deleteAgain
	askAfterCommit
	commitAgain
	voidFirst
	admissionInside
	nothing
)

var steps = map[int]string{
	freshKeys: "each attempt has a key of its own", checksums: "the store compares bytes with a checksum",
	objectFirst: "the object comes before the row of its unit", rowIfAbsent: "a unit has one row, the first",
	rowIfOpen: "only an open content takes units", rowBeforeAnswer: "the row comes before the answer",
	allUnits: "a commit needs all units", digestEqual: "a commit compares the digest",
	voidedSince: "a commit needs the units that were compared", commitIfOpen: "a commit needs an open content",
	releaseName: "a name that goes is taken from its content", abandonIfOpen: "only an open content is given up",
	deleteByPrefix: "a clean-up deletes what it finds, not what has rows", deleteAgain: "a clean-up deletes once more, later",
	askAfterCommit: "after a COMMIT without answer the database is asked", commitAgain: "a commit that was made already succeeds",
	voidFirst: "a unit that is replaced loses its row before its object", admissionInside: "rights are judged in the transaction of the commit",
}

const (
	attempts = 2 // keys of a unit
	noRow    = -1
)

// Contents of an object, of a unit and of a request: bytes of two versions, or cut ones.
const (
	none = iota
	bytesA
	bytesB
	bytesCut
)

// The states of a content. Those of package meta, and one in which its row is gone.
const (
	isOpen = iota + 1
	isLive
	isDead
	isRemoved
	isForgotten
)

// What a process does with a unit.
const (
	idle     = iota
	putting  // its request is on the way
	stored   // it was answered
	voided   // the row of another key was removed, its object comes next
	answered // its row is there
)

type process struct {
	doing, unit, key, data, old int8
	prepared                    int8 // the version of unit 0 that the commit is for
	voids                       int8 // when it was prepared
	admitted                    bool // when it was prepared
}

// world is one state.
type world struct {
	content, voids int8
	rows           [2]int8 // the key of each unit
	rowData        [2]int8
	named          bool
	revoked        bool
	objects        [2 * attempts]int8
	flying         [2 * attempts]int8 // requests that nobody waits for any more
	used           [2]int8
	p              [2]process
	acked          [2]bool
	want           int8 // the version of unit 0 in the file
	cleaning       int8
	told           bool // that the commit was made
	faults         int8
}

type model struct {
	without int // the step that is left out
	faults  int8
	once    bool // unit 1 is sent once only
	seen    map[world]bool
	queue   []world
	wrong   string
}

func (m *model) has(step int) bool { return m.without != step }

// reach notes a state that can be reached.
func (m *model) reach(w world) {
	if !m.seen[w] {
		m.seen[w] = true
		m.queue = append(m.queue, w)
	}
}

// never notes a violation.
func (m *model) never(bad bool, what string) {
	if bad && m.wrong == "" {
		m.wrong = what
	}
}

func (m *model) search() (states int, wrong string) {
	m.seen = map[world]bool{}
	m.reach(world{content: isOpen, rows: [2]int8{noRow, noRow}})
	for len(m.queue) > 0 && m.wrong == "" { // the shortest ways first
		w := m.queue[0]
		m.queue = m.queue[1:]
		m.look(w)
		for i := range w.p {
			m.process(w, i)
		}
		m.others(w)
	}
	return len(m.seen), m.wrong
}

// look says what no state may be like.
func (m *model) look(w world) {
	want := [2]int8{w.want, bytesA}
	onTheWay := w.flying != [2 * attempts]int8{}
	for u, row := range w.rows {
		m.never(w.named && row == noRow, "a file lacks a unit")
		m.never(w.named && row != noRow && w.objects[row] != want[u], "a file has other bytes, or none")
		m.never(w.content == isForgotten && row != noRow, "a row is left")
		m.never(w.content == isOpen && w.acked[u] && row == noRow, "a unit that was acknowledged is lost")
		onTheWay = onTheWay || w.p[u].doing == putting
	}
	m.never(w.named && w.content != isLive, "a name leads to nothing")
	m.never(!w.named && w.content == isLive, "a file without a name stays for ever")
	m.never(w.told && w.content == isOpen, "a commit was acknowledged and not made")
	m.never(w.content == isForgotten && !onTheWay && w.objects != [2 * attempts]int8{}, "an object stays for ever")
}

// process makes the steps of one process.
func (m *model) process(w world, i int) {
	p := w.p[i]
	step := func(change func(w *world, p *process)) {
		next := w
		change(&next, &next.p[i])
		m.reach(next)
	}
	if w.faults < m.faults && (p.doing != idle || p.prepared != none) { // it is killed
		for _, late := range []bool{false, true} {
			step(func(w *world, p *process) {
				if late && p.doing == putting {
					w.flying[p.key] = p.data
				}
				*p, w.faults = process{}, w.faults+1
			})
		}
	}
	switch p.doing {
	case idle:
		if w.content < isRemoved {
			m.send(w, step)
		}
		m.commit(w, p, step)
	case putting:
		step(func(w *world, p *process) { w.objects[p.key], p.doing = p.data, stored })
		if w.faults == m.faults {
			break
		}
		for _, late := range []bool{false, true} { // the request is given up
			step(func(w *world, p *process) {
				if late {
					w.flying[p.key] = p.data
				}
				p.doing, w.faults = idle, w.faults+1
			})
		}
		if !m.has(checksums) {
			step(func(w *world, p *process) { w.objects[p.key], p.doing, w.faults = bytesCut, stored, w.faults+1 })
		}
	case stored:
		step(func(w *world, p *process) { m.insert(w, p) })
	case voided:
		step(func(w *world, p *process) {
			w.objects[p.old], p.doing, p.old = none, stored, 0
			if !m.has(voidFirst) {
				m.void(w, p)
			}
		})
	case answered:
		step(func(w *world, p *process) {
			w.acked[p.unit] = w.content == isOpen && (!m.has(rowBeforeAnswer) || w.rows[p.unit] != noRow)
			*p = process{prepared: p.prepared, voids: p.voids, admitted: p.admitted}
		})
	}
}

// send begins a unit.
func (m *model) send(w world, step func(func(w *world, p *process))) {
	for _, c := range []struct{ unit, data int8 }{{0, bytesA}, {0, bytesB}, {1, bytesA}} {
		if w.used[c.unit] == attempts || m.once && c.unit == 1 && w.used[1] == 1 {
			continue
		}
		step(func(w *world, p *process) {
			key := c.unit * attempts
			if m.has(freshKeys) {
				key += w.used[c.unit]
			}
			w.used[c.unit]++
			p.doing, p.unit, p.key, p.data = putting, c.unit, key, c.data
			if !m.has(objectFirst) && w.content == isOpen && w.rows[c.unit] == noRow {
				w.rows[c.unit], w.rowData[c.unit] = key, c.data
			}
		})
	}
}

// insert writes the row of a unit that is stored.
func (m *model) insert(w *world, p *process) {
	u := p.unit
	open := w.content == isOpen
	row := func() {
		w.rows[u], w.rowData[u], p.doing = p.key, p.data, answered
		if !m.has(rowBeforeAnswer) {
			w.acked[u] = open
		}
	}
	spare := func() {
		if w.rows[u] != p.key { // its own object, which has no row
			w.objects[p.key] = none
		}
		p.doing = idle
	}
	switch {
	case !open && m.has(rowIfOpen) && (m.has(rowIfAbsent) || w.rows[u] == noRow):
		spare()
	case w.rows[u] == noRow, !m.has(rowIfAbsent):
		if !m.has(rowBeforeAnswer) && !w.acked[u] && open { // first the answer, then the row
			w.acked[u] = true
			return
		}
		row()
	case w.rowData[u] == p.data:
		spare()
		p.doing = answered
	case !open, p.prepared != none: // it is sealed
		spare()
	default:
		p.old, p.doing = w.rows[u], voided
		if m.has(voidFirst) {
			m.void(w, p)
		}
	}
}

// void removes the row of a unit that is replaced.
func (m *model) void(w *world, p *process) {
	if w.content == isOpen {
		w.rows[p.unit], w.rowData[p.unit], w.acked[p.unit] = noRow, none, false
		w.voids++
	}
}

// commit compares the units, and then makes the file.
func (m *model) commit(w world, p process, step func(func(w *world, p *process))) {
	if p.prepared == none {
		for _, version := range []int8{bytesA, bytesB} {
			all := w.rows[0] != noRow && w.rows[1] != noRow
			fits := w.rowData[0] == version || w.rows[0] == noRow && !m.has(allUnits)
			if w.content == isOpen && (all || !m.has(allUnits)) && (fits || !m.has(digestEqual)) {
				step(func(w *world, p *process) { p.prepared, p.voids, p.admitted = version, w.voids, !w.revoked })
			}
		}
		return
	}
	finish := func(answer, lost bool) {
		step(func(w *world, p *process) {
			made := false
			all := w.rows[0] != noRow && w.rows[1] != noRow || !m.has(allUnits)
			admitted := !w.revoked
			if !m.has(admissionInside) {
				admitted = p.admitted
			}
			switch {
			case w.content == isLive && w.named && m.has(commitAgain):
				made = true
			case w.content != isOpen && m.has(commitIfOpen), w.content == isLive, w.content == isForgotten:
			case w.voids != p.voids && m.has(voidedSince), !all, !admitted:
			case lost: // it is rolled back
			default:
				m.never(w.revoked, "a user without rights has committed")
				w.content, w.named, w.want, made = isLive, true, p.prepared, true
			}
			if !answer && !m.has(askAfterCommit) {
				made = false
			}
			m.never(!made && w.named, "a commit that was made is said to have failed")
			w.told = w.told || made
			*p = process{}
			if !answer {
				w.faults++
			}
		})
	}
	finish(true, false)
	if w.faults < m.faults {
		finish(false, false)
		finish(false, true)
	}
}

// others makes the steps of everybody else.
func (m *model) others(w world) {
	step := func(change func(w *world)) {
		next := w
		change(&next)
		m.reach(next)
	}
	onTheWay := w.p[0].doing == putting || w.p[1].doing == putting
	for key, data := range w.flying {
		if data != none {
			onTheWay = true
			step(func(w *world) { w.objects[key], w.flying[key] = data, none })
		}
	}
	if !w.revoked {
		step(func(w *world) { w.revoked = true })
	}
	if w.content == isOpen || w.content == isLive && !m.has(abandonIfOpen) { // it is given up, or expires
		step(func(w *world) { w.content, w.acked = isDead, [2]bool{} })
	}
	if w.named { // it is removed, or replaced
		step(func(w *world) {
			if w.named = false; m.has(releaseName) {
				w.content = isDead
			}
		})
	}
	sweep := func(w *world) {
		for key := range w.objects {
			if m.has(deleteByPrefix) || w.rows[key/attempts] == int8(key) {
				w.objects[key] = none
			}
		}
	}
	forget := func(w *world) { w.content, w.rows, w.rowData = isForgotten, [2]int8{noRow, noRow}, [2]int8{} }
	switch {
	case w.cleaning == 0 && w.content == isDead:
		step(func(w *world) { w.cleaning = 1 })
	case w.cleaning == 1:
		step(func(w *world) { sweep(w); w.cleaning = 2 })
	case w.cleaning == 2:
		step(func(w *world) {
			if w.cleaning = 0; w.content == isDead {
				if w.content = isRemoved; !m.has(deleteAgain) {
					forget(w)
				}
			}
		})
	case w.content == isRemoved && !onTheWay:
		step(func(w *world) { sweep(w); forget(w) })
	}
}

// TestModel: with all steps no state is wrong; without any one of them there is one. All states of
// the model are visited if HUFU_LARGE is set, otherwise those in which unit 1 is sent once.
func TestModel(t *testing.T) {
	t.Parallel()
	for step := freshKeys; step < nothing; step++ {
		m := model{without: step, faults: 1, once: true}
		states, wrong := m.search()
		if wrong == "" {
			t.Errorf("nothing is wrong in %d states although it is left out: %s", states, steps[step])
		}
		t.Logf("without %q, after %d states: %s", steps[step], states, wrong)
	}
	m := model{without: nothing, faults: 2, once: true}
	if os.Getenv("HUFU_LARGE") != "" {
		m.once = false
	}
	states, wrong := m.search()
	t.Logf("%d states", states)
	if wrong != "" || states < 150_000 {
		t.Errorf("in %d states: %s", states, wrong)
	}
}
