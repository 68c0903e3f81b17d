package second

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Client is one connection of a user.
type Client struct {
	k     *conn
	Hello Hello
}

// requests are under way at most; any server allows as many before hello is
// answered.
const requests = 64

// Connect says hello. The token may be nil.
func (id *Identity) Connect(ctx context.Context, tok []byte) (*Client, error) {
	t, err := dialTLS(ctx, id.Host, id.Port, id.config(native))
	if err != nil {
		return nil, err
	}
	k, err := newConn(t, requests)
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	c := &Client{k: k}
	if _, err := k.do(tHello, hello{1, []string{"core"}, tok, "second 1", "more"}, nil, &c.Hello); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	if c.Hello.Version != 1 || len(c.Hello.Instance) != 16 || c.Hello.Requests < requests || c.Hello.Bytes < maxRaw {
		return nil, errors.Join(fmt.Errorf("a hello that cannot be: %+v", c.Hello), k.Close())
	}
	return c, nil
}

// Close ends the connection and waits until reading has ended.
func (c *Client) Close() {
	_ = c.k.Close()
	<-c.k.over
}

// Login proves the password.
func (c *Client) Login(user, password string) ([]byte, error) {
	var a token
	_, err := c.k.do(tLogin, login{user, password}, nil, &a)
	return a.Token, err
}

// Logout makes the token worthless.
func (c *Client) Logout() error {
	_, err := c.k.do(tLogout, empty{}, nil, &empty{})
	return err
}

// Stat tells what stands under a path.
func (c *Client) Stat(path string) (Entry, error) {
	var a oneEntry
	_, err := c.k.do(tStat, onPath{[]byte(path)}, nil, &a)
	return a.Entry, err
}

// List tells what is in a folder.
func (c *Client) List(path string) ([]Entry, error) {
	all, _, err := c.page(list{Path: []byte(path)})
	return all, err
}

func (c *Client) page(m list) (all []Entry, next []byte, err error) {
	call, err := c.k.send(tList, m, nil, func(body, _ []byte, _ bool) error {
		var a entries
		err := c.k.strict(body, &a)
		all, next = append(all, a.Entries...), a.Next
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return all, next, c.k.wait(call)
}

// ListPages tells what is in a folder, in the order of the names.
func (c *Client) ListPages(path string, limit uint) (all []Entry, err error) {
	var after []byte
	for {
		some, next, err := c.page(list{[]byte(path), limit, after})
		if err != nil {
			return all, err
		}
		for _, e := range some {
			if bytes.Compare(e.Name, after) <= 0 {
				return all, fmt.Errorf("%q comes after %q", e.Name, after)
			}
			after = e.Name
			all = append(all, e)
		}
		if len(next) == 0 {
			return all, nil
		}
		after = next
	}
}

// Digest lets the server read a file, until stop is closed.
func (c *Client) Digest(path string, stop <-chan struct{}) (Entry, error) {
	var a oneEntry
	call, err := c.k.send(tDigest, onPath{[]byte(path)}, nil, func(body, _ []byte, _ bool) error { return c.k.strict(body, &a) })
	if err != nil {
		return Entry{}, err
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-stop:
			_ = c.k.cancel(call) // else the answer comes, or the end of the connection
		case <-over:
		}
	}()
	err = c.k.wait(call)
	return a.Entry, err
}

// Rename moves a name and tells its new version.
func (c *Client) Rename(from, to string, cond Condition) (string, error) {
	var a newVersion
	_, err := c.k.do(tRename, rename{[]byte(from), []byte(to), cond}, nil, &a)
	return a.Version, err
}

// SetMeta sets mode and time and tells the new version.
func (c *Client) SetMeta(path string, mode uint, mtime int64) (string, error) {
	var a newVersion
	_, err := c.k.do(tSetMeta, setMeta{[]byte(path), mode, mtime}, nil, &a)
	return a.Version, err
}

// Mkdir makes a folder.
func (c *Client) Mkdir(path string) (bool, error) {
	var a created
	_, err := c.k.do(tMkdir, mkdir{[]byte(path), 0o755, true}, nil, &a)
	return a.Created, err
}

// Remove takes a name away.
func (c *Client) Remove(path string, recursive bool) error {
	_, err := c.k.do(tRemove, remove{[]byte(path), recursive, ""}, nil, &empty{})
	return err
}

// RemoveVersion takes a name away if it has this version.
func (c *Client) RemoveVersion(path, version string) error {
	_, err := c.k.do(tRemove, remove{[]byte(path), false, version}, nil, &empty{})
	return err
}

// Put sends a small file.
func (c *Client) Put(path string, data []byte, cond Condition) (string, error) {
	var a version
	_, err := c.k.do(tPut, put{[]byte(path), 0o640, mtime.UnixNano(), Digest(data), cond}, data, &a)
	return a.Version, err
}

// mtime is what every file of this client gets.
var mtime = time.Date(2020, 2, 29, 12, 0, 0, 123456789, time.UTC)

// PutMany sends small files without waiting for the answers in between.
func (c *Client) PutMany(folder string, files map[string][]byte) error {
	var calls []*call
	for name, data := range files {
		m := put{[]byte(folder + "/" + name), 0o640, mtime.UnixNano(), Digest(data), Absent}
		call, err := c.k.send(tPut, m, data, func(body, _ []byte, _ bool) error { return c.k.strict(body, &version{}) })
		if err != nil {
			return err
		}
		if calls = append(calls, call); len(calls)%(requests/2) == 0 {
			c.k.flush()
		}
	}
	for _, call := range calls {
		if err := c.k.wait(call); err != nil {
			return err
		}
	}
	return nil
}

// Get fetches a small file and checks its digest.
func (c *Client) Get(path, v string) (Entry, []byte, error) {
	var a oneEntry
	data, err := c.k.do(tGet, get{[]byte(path), v, nil}, nil, &a)
	if err != nil {
		return Entry{}, nil, err
	}
	if int64(len(data)) != a.Entry.Size || !bytes.Equal(Digest(data), a.Entry.Digest) {
		return Entry{}, nil, errors.New("other bytes than the entry tells of")
	}
	return a.Entry, data, nil
}

// GetKnown fetches a small file of which version and digest are known, without
// its entry.
func (c *Client) GetKnown(path, v string, digest []byte) ([]byte, error) {
	return c.k.do(tGet, get{[]byte(path), v, digest}, nil, &struct{}{})
}

// Upload is an unfinished upload.
type Upload struct {
	ID     string
	Path   string
	Source string
	Data   []byte
	There  map[int64][]byte // chaining values of the chunks that the server has
}

func (u *Upload) chunk(i int64) []byte {
	return u.Data[i*chunkSize : min((i+1)*chunkSize, int64(len(u.Data)))]
}

func (u *Upload) chunks() int64 { return (int64(len(u.Data)) + chunkSize - 1) / chunkSize }

// Open begins or resumes an upload.
func (c *Client) Open(path, source string, data []byte) (*Upload, error) {
	u := &Upload{Path: path, Source: source, Data: data, There: map[int64][]byte{}}
	next := int64(0)
	call, err := c.k.send(tOpen, open{[]byte(path), int64(len(data)), source}, nil, func(body, _ []byte, _ bool) error {
		var a opened
		if err := c.k.strict(body, &a); err != nil {
			return err
		}
		if a.Unit != chunkSize || u.ID != "" && u.ID != a.Upload {
			return fmt.Errorf("an open answer that cannot be: %+v", a)
		}
		u.ID = a.Upload
		for _, r := range a.Runs {
			if r.First < next || len(r.CVs) == 0 || len(r.CVs)%32 != 0 || r.First+int64(len(r.CVs)/32) > u.chunks() {
				return fmt.Errorf("a run that cannot be: %+v", r)
			}
			next = r.First
			for cv := range slices.Chunk(r.CVs, 32) {
				u.There[next] = cv
				next++
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return u, c.k.wait(call)
}

// Send sends the chunks that step picks and the server has not.
func (c *Client) Send(u *Upload, pick func(i int64) bool) (sent int, err error) {
	var calls []*call
	for i := range u.chunks() {
		data := u.chunk(i)
		cv := CV(data, i)
		if !pick(i) || bytes.Equal(u.There[i], cv) {
			continue
		}
		m := oneRange{Upload: u.ID, Index: i, CV: cv}
		if len(bytes.Trim(data, "\x00")) == 0 {
			m.Hole, data = true, nil
		}
		call, err := c.k.send(tRange, m, data, func(body, _ []byte, _ bool) error { return c.k.strict(body, &empty{}) })
		if err != nil {
			return sent, err
		}
		sent++
		calls = append(calls, call)
	}
	for _, call := range calls {
		if err := c.k.wait(call); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// Commit gives the upload its name.
func (c *Client) Commit(u *Upload, cond Condition) (Entry, error) {
	cvs := make([][]byte, u.chunks())
	for i := range cvs {
		cvs[i] = CV(u.chunk(int64(i)), int64(i))
	}
	var a oneEntry
	_, err := c.k.do(tCommit, commit{u.ID, []byte(u.Path), Combine(cvs), 0o600, mtime.UnixNano(), cond}, nil, &a)
	return a.Entry, err
}

// Fetch gets a large file over some connections and checks it chunk by chunk
// and as a whole.
func Fetch(lanes []*Client, path string, e Entry) ([]byte, error) {
	data := make([]byte, e.Size)
	chunks := (e.Size + chunkSize - 1) / chunkSize
	cvs := make([][]byte, chunks)
	errs := make([]error, len(lanes))
	var wg sync.WaitGroup
	for n, c := range lanes {
		wg.Go(func() {
			for i := int64(n); i < chunks && errs[n] == nil; i += int64(len(lanes)) {
				part := data[i*chunkSize : min((i+1)*chunkSize, e.Size)]
				var a chunk
				var raw []byte
				if raw, errs[n] = c.k.do(tRead, read{[]byte(path), e.Version, i}, nil, &a); errs[n] != nil {
					return
				}
				switch {
				case a.Hole && len(raw) == 0: // zeros already
				case a.Hole || len(raw) != len(part):
					errs[n] = fmt.Errorf("chunk %d has %d bytes", i, len(raw))
					return
				default:
					copy(part, raw)
				}
				if cvs[i] = CV(part, i); !bytes.Equal(cvs[i], a.CV) {
					errs[n] = fmt.Errorf("chunk %d is another one", i)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if got := Combine(cvs); len(e.Digest) != 0 && !bytes.Equal(got, e.Digest) {
		return nil, errors.New("another digest than the entry's")
	}
	return data, nil
}
