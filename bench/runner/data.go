//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// random is a stream that nothing can compress.
func random() io.Reader {
	var seed [32]byte
	_, _ = rand.Read(seed[:])
	return mathrand.NewChaCha8(seed)
}

func makeFile(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, random(), size)
	return errors.Join(err, f.Close())
}

// quarters are the ranges of four parts of size bytes, as HTTP writes them.
func quarters(size int64) (list []string) {
	for i := range int64(4) {
		list = append(list, fmt.Sprintf("%d-%d", size*i/4, size*(i+1)/4-1))
	}
	return list
}

// makeParts writes the four quarters of a file beside it.
func makeParts(name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for i := range int64(4) {
		part, err := os.Create(name + "." + strconv.FormatInt(i, 10))
		if err != nil {
			return err
		}
		_, err = io.CopyN(part, f, size*(i+1)/4-size*i/4)
		if err = errors.Join(err, part.Close()); err != nil {
			return err
		}
	}
	return nil
}

const perFolder = 100

func makeTree(dir string, files int, size int64) error {
	from := random()
	data := make([]byte, size)
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprintf("d%04d", i/perFolder))
		if i%perFolder == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(from, data); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%04d", i%perFolder)), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// curlLists says to curl what to put and to get, a file at a time.
func curlLists(src, work, https, in, out string) error {
	var up, down bytes.Buffer
	err := filepath.WalkDir(src, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(filepath.Dir(src), name)
		fmt.Fprintf(&up, "upload-file = %q\nurl = %q\n", name, https+"/"+in+"/"+rel)
		fmt.Fprintf(&down, "output = %q\nurl = %q\n", filepath.Join(out, rel), https+"/src/"+rel)
		return err
	})
	return errors.Join(err,
		os.WriteFile(filepath.Join(work, "curl-up"), up.Bytes(), 0o600),
		os.WriteFile(filepath.Join(work, "curl-down"), down.Bytes(), 0o600))
}

// verifyFile compares a file with one, or with one in parts, byte for byte.
func verifyFile(want string, got ...string) error {
	a, err := os.Open(want)
	if err != nil {
		return err
	}
	defer a.Close()
	var readers []io.Reader
	for _, name := range got {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		readers = append(readers, f)
	}
	b := io.MultiReader(readers...)
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return fmt.Errorf("%s differs from its source", got[0])
		}
		if errA != nil || errB != nil {
			break
		}
	}
	return nil
}

// verifyTree compares two trees: names, and each file byte for byte.
func verifyTree(want, got string) error {
	count := func(dir string, each func(rel string) error) (n int, err error) {
		err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			n++
			return each(strings.TrimPrefix(name, dir))
		})
		return n, err
	}
	n, err := count(want, func(rel string) error {
		a, err := os.ReadFile(want + rel)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(got + rel)
		if err == nil && !bytes.Equal(a, b) {
			err = fmt.Errorf("%s differs from its source", got+rel)
		}
		return err
	})
	if err != nil {
		return err
	}
	m, err := count(got, func(string) error { return nil })
	if err == nil && n != m {
		err = fmt.Errorf("%d files were sent and %d are there", n, m)
	}
	return err
}

// empty makes dir an empty folder.
func empty(dir string) error {
	return errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
}

func randomPassword() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
