// Package second is another client of hufu's protocol, written from
// docs/protocol.md and from nothing else: it shows that the document is enough,
// and that the server keeps to it. It imports no package of hufu. It promises
// to check what it is told, and leaves speed, patience and comfort to the real
// client.
package second

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// Frames: limits of what a server may send.
const (
	headerSize = 12
	maxBody    = 256 << 10
	maxRaw     = 1 << 20
	flagMore   = 1
)

// conn is one connection: a queue of calls that are answered in order.
type conn struct {
	net.Conn
	enc cbor.EncMode
	dec cbor.DecMode

	mu   sync.Mutex // guards writing
	w    *bufio.Writer
	next uint64        // number of the next request
	room chan struct{} // one element for each unanswered request
	over chan struct{} // closed when reading has ended
	err  error         // why, once over is closed

	qmu   sync.Mutex // never held while writing: reading must not wait for that
	queue []*call    // unanswered, in order
}

type call struct {
	want uint16
	each func(body, raw []byte, more bool) error
	done chan error
	// number counts the requests of the connection.
	number uint64

	failed error // the first error of its frames; the reader's
}

func codec() (cbor.EncMode, cbor.DecMode, error) {
	o := cbor.CoreDetEncOptions()
	o.NilContainers = cbor.NilContainerAsEmpty
	o.OmitEmpty = cbor.OmitEmptyGoValue
	enc, err := o.EncMode()
	if err != nil {
		return nil, nil, err
	}
	dec, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode()
	return enc, dec, err
}

func newConn(c net.Conn, requests int) (*conn, error) {
	enc, dec, err := codec()
	if err != nil {
		return nil, err
	}
	k := &conn{
		Conn: c, enc: enc, dec: dec, w: bufio.NewWriter(c),
		room: make(chan struct{}, requests), over: make(chan struct{}),
	}
	go k.reader() // ends when the connection is closed
	return k, nil
}

// strict reads a message that must be in its one encoding. What a later server
// has added in the places that are left for it is taken out before.
func (k *conn) strict(body []byte, into any) (err error) {
	switch into.(type) {
	case *Hello:
		body, err = k.ignore(body)
	case *oneEntry:
		body, err = k.inside(body, k.ignore)
	case *entries:
		body, err = k.inside(body, func(list []byte) ([]byte, error) {
			var all []cbor.RawMessage
			err := k.dec.Unmarshal(list, &all)
			for i := range all {
				if err == nil {
					all[i], err = k.ignore(all[i])
				}
			}
			return k.again(all, err)
		})
	}
	if err != nil {
		return err
	}
	if err := k.dec.Unmarshal(body, into); err != nil {
		return err
	}
	again, err := k.enc.Marshal(into)
	if err == nil && !bytes.Equal(again, body) {
		err = fmt.Errorf("not deterministic: %x", body)
	}
	return err
}

// ignore takes the keys 64 to 127 out of a map.
func (k *conn) ignore(b []byte) ([]byte, error) {
	var m map[uint64]cbor.RawMessage
	err := k.dec.Unmarshal(b, &m)
	for key := range m {
		if 64 <= key && key <= 127 {
			delete(m, key)
		}
	}
	return k.again(m, err)
}

// inside changes what stands under key 1 of a map.
func (k *conn) inside(b []byte, by func([]byte) ([]byte, error)) ([]byte, error) {
	var m map[uint64]cbor.RawMessage
	err := k.dec.Unmarshal(b, &m)
	if err == nil && m[1] != nil {
		m[1], err = by(m[1])
	}
	return k.again(m, err)
}

func (k *conn) again(v any, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return k.enc.Marshal(v)
}

// cancel says that nobody waits for a call any more; its answer comes all the same.
func (k *conn) cancel(c *call) error {
	body, err := k.enc.Marshal(cancel{c.number})
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var head [headerSize]byte
	binary.BigEndian.PutUint16(head[:], tCancel)
	binary.BigEndian.PutUint32(head[4:], uint32(len(body)))
	_, err1 := k.w.Write(head[:])
	_, err2 := k.w.Write(body)
	return errors.Join(err1, err2, k.w.Flush())
}

// send puts a request under way. each gets every frame of its answer, on the
// reading goroutine.
func (k *conn) send(t uint16, m any, raw []byte, each func(body, raw []byte, more bool) error) (*call, error) {
	body, err := k.enc.Marshal(m)
	if err != nil {
		return nil, err
	}
	select {
	case k.room <- struct{}{}:
	case <-k.over:
		return nil, k.err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c := &call{want: t | answer, each: each, done: make(chan error, 1), number: k.next}
	k.next++
	k.qmu.Lock()
	k.queue = append(k.queue, c)
	k.qmu.Unlock()
	var head [headerSize]byte
	binary.BigEndian.PutUint16(head[:], t)
	binary.BigEndian.PutUint32(head[4:], uint32(len(body)))
	binary.BigEndian.PutUint32(head[8:], uint32(len(raw)))
	_, err1 := k.w.Write(head[:])
	_, err2 := k.w.Write(body)
	_, err3 := k.w.Write(raw)
	if errors.Join(err1, err2, err3) != nil {
		return c, nil // the reader finds out why
	}
	return c, nil
}

func (k *conn) flush() {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.w.Flush() // the reader finds out why
}

// wait is for the last frame of the answer, or the end of the connection.
func (k *conn) wait(c *call) error {
	k.flush()
	select {
	case err := <-c.done:
		return err
	case <-k.over:
		select {
		case err := <-c.done:
			return err
		default:
			return k.err
		}
	}
}

// do makes one call whose answer is one frame; into gets its message.
func (k *conn) do(t uint16, m any, raw []byte, into any) ([]byte, error) {
	var got []byte
	c, err := k.send(t, m, raw, func(body, raw []byte, more bool) error {
		if more {
			return errors.New("one frame was expected")
		}
		got = raw
		return k.strict(body, into)
	})
	if err != nil {
		return nil, err
	}
	err = k.wait(c)
	return got, err
}

func (k *conn) reader() {
	k.err = k.readAll()
	close(k.over)
	_ = k.Close()
}

func (k *conn) readAll() error {
	r := bufio.NewReaderSize(k, 64<<10)
	for {
		t, more, body, raw, err := readFrame(r)
		if err != nil {
			return err
		}
		switch {
		case t == tGoodbye:
			var g goodbye
			if err := k.strict(body, &g); err != nil {
				return err
			}
			return &g.Reason
		case t > tGoodbye:
			continue // other notices need not interest us
		}
		c := k.head(false)
		if c == nil {
			return errors.New("an answer to nothing")
		}
		if t != c.want && t != tError {
			return fmt.Errorf("answer %#x in the place of %#x", t, c.want)
		}
		err = k.take(c, t, more, body, raw)
		if c.failed == nil {
			c.failed = err
		}
		if !more {
			k.head(true)
			c.done <- c.failed
			<-k.room
		}
	}
}

// head is the oldest request that is not answered.
func (k *conn) head(remove bool) *call {
	k.qmu.Lock()
	defer k.qmu.Unlock()
	if len(k.queue) == 0 {
		return nil
	}
	c := k.queue[0]
	if remove {
		k.queue = k.queue[1:]
	}
	return c
}

// take gives an answer's frame to its call.
func (k *conn) take(c *call, t uint16, more bool, body, raw []byte) error {
	if t == tError {
		var f Failure
		if err := k.strict(body, &f); err != nil {
			return err
		}
		return &f
	}
	if c.failed != nil {
		return nil
	}
	return c.each(body, raw, more)
}

func readFrame(r io.Reader) (t uint16, more bool, body, raw []byte, err error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, false, nil, nil, err
	}
	t, flags := binary.BigEndian.Uint16(head[:]), binary.BigEndian.Uint16(head[2:])
	nb, nr := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	mayGoOn := t == tList|answer || t == tOpen|answer || t == tDevices|answer
	mayHoldRaw := t == tGet|answer || t == tRead|answer
	if t&answer == 0 || t == tCancel || flags > flagMore || flags == flagMore && !mayGoOn || nb > maxBody || nr > maxRaw || nr > 0 && !mayHoldRaw {
		return 0, false, nil, nil, fmt.Errorf("a server may not send this: %x", head)
	}
	body, raw = make([]byte, nb), make([]byte, nr)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, false, nil, nil, err
	}
	_, err = io.ReadFull(r, raw)
	return t, flags == flagMore, body, raw, err
}
