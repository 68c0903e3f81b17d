//go:build e2e && linux

// Package s3 runs an S3 service for tests: versitygw, at the version that tools/s3.mod pins.
package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"hufu/internal/blob/object"
	"hufu/internal/testenv/port"
)

const patience = 2 * time.Minute

// Service is one running S3 service.
type Service struct {
	Address string

	dir            string
	access, secret string
	buckets        atomic.Int64
	stop           func()
}

// Start builds the service and starts it. It runs in a folder of this module.
func Start() (_ *Service, err error) {
	dir, err := os.MkdirTemp("", "hufu-s3")
	if err != nil {
		return nil, err
	}
	s := &Service{dir: dir, access: "hufu", secret: rand.Text(), stop: func() { _ = os.RemoveAll(dir) }}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience) // the first time it is fetched
	defer cancel()
	program, data := filepath.Join(dir, "versitygw"), filepath.Join(dir, "data")
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOMOD: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-modfile=tools/s3.mod", "-o", program, "github.com/versity/versitygw/cmd/versitygw")
	build.Dir = filepath.Dir(string(module))
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build versitygw: %w: %s", err, out)
	}
	address, release, err := port.Hold()
	if err := errors.Join(err, os.Mkdir(data, 0o700), os.Mkdir(filepath.Join(dir, "meta"), 0o700)); err != nil {
		return nil, err
	}
	s.Address = address
	var log bytes.Buffer
	cmd := exec.CommandContext(context.Background(), program, "--port", address, "--quiet", "posix", "--sidecar", filepath.Join(dir, "meta"), data)
	cmd.Env = []string{"ROOT_ACCESS_KEY_ID=" + s.access, "ROOT_SECRET_ACCESS_KEY=" + s.secret, "HOME=" + dir}
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	s.stop = func() {
		_ = cmd.Process.Kill()
		<-over
		release()
		_ = os.RemoveAll(dir)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if c, err := net.Dial("tcp", address); err == nil {
			return s, c.Close()
		}
		select {
		case err := <-over:
			over <- err
			return nil, fmt.Errorf("versitygw has ended: %w: %s", err, log.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, errors.New("versitygw does not answer")
}

// Stop ends the service and removes what it has kept.
func (s *Service) Stop() { s.stop() }

// Bucket makes an empty bucket, of which a prefix is used.
func (s *Service) Bucket() (object.Source, error) {
	name := fmt.Sprintf("bucket%d", s.buckets.Add(1))
	err := os.Mkdir(filepath.Join(s.dir, "data", name), 0o700)
	return object.Source{URL: "s3://" + name + "/pre/fix", Endpoint: "http://" + s.Address, PathStyle: true, AccessKey: s.access, SecretKey: s.secret}, err
}
