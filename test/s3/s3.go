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
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"hufu/internal/blob/object"
	"hufu/internal/testenv/port"
)

const patience = 2 * time.Minute

// Service is an S3 service.
type Service struct {
	Address string

	dir, program   string
	access, secret string
	flags          []string
	buckets        atomic.Int64
	release        func() // of the port
	cmd            *exec.Cmd
	over           chan error
}

// Start builds the service and starts it. It runs in a folder of this module.
func Start() (*Service, error) { return start(false) }

// StartVersions is Start for a service whose buckets may keep versions, see KeepVersions.
func StartVersions() (*Service, error) { return start(true) }

func start(versions bool) (_ *Service, err error) {
	dir, err := os.MkdirTemp("", "hufu-s3")
	if err != nil {
		return nil, err
	}
	s := &Service{dir: dir, access: "hufu", secret: rand.Text(), release: func() {}}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience) // the first time it is fetched
	defer cancel()
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOMOD: %w", err)
	}
	// The go command keeps a tool that it has built, but links a program again for each "go build".
	tool := exec.CommandContext(ctx, "go", "tool", "-modfile=tools/s3.mod", "-n", "versitygw")
	tool.Dir, tool.Stderr = filepath.Dir(string(module)), os.Stderr
	program, err := tool.Output()
	if err != nil {
		return nil, fmt.Errorf("build versitygw: %w", err)
	}
	s.program = string(bytes.TrimSpace(program))
	address, release, err := port.Hold()
	if err := errors.Join(err, os.Mkdir(s.path("data"), 0o700), os.Mkdir(s.path("meta"), 0o700)); err != nil {
		return nil, err
	}
	s.Address, s.release = address, release
	if versions {
		s.flags = []string{"--versioning-dir", s.path("versions")}
		if err := os.Mkdir(s.path("versions"), 0o700); err != nil {
			return nil, err
		}
	}
	return s, s.Again()
}

func (s *Service) path(name string) string { return filepath.Join(s.dir, name) }

// Again starts the service after Kill, with what it has kept.
func (s *Service) Again() error {
	log, err := os.OpenFile(s.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(context.Background(), s.program, "--port", s.Address, "--quiet", "posix", "--sidecar", s.path("meta"))
	cmd.Args = append(append(cmd.Args, s.flags...), s.path("data"))
	cmd.Env = []string{"ROOT_ACCESS_KEY_ID=" + s.access, "ROOT_SECRET_ACCESS_KEY=" + s.secret, "HOME=" + s.dir}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	s.cmd, s.over = cmd, over
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if c, err := net.Dial("tcp", s.Address); err == nil {
			return c.Close()
		}
		select {
		case err := <-over:
			over <- err
			text, _ := os.ReadFile(s.path("log"))
			return fmt.Errorf("versitygw has ended: %w: %s", err, text)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("versitygw does not answer")
}

// Signal sends the service a signal.
func (s *Service) Signal(signal syscall.Signal) error { return s.cmd.Process.Signal(signal) }

// Kill ends the service at once, as a crash does.
func (s *Service) Kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		<-s.over
	}
	s.cmd = nil
}

// Stop ends the service and removes what it has kept.
func (s *Service) Stop() {
	s.Kill()
	s.release()
	_ = os.RemoveAll(s.dir)
}

// Bucket makes an empty bucket, of which a prefix is used.
func (s *Service) Bucket() (object.Source, error) {
	name := fmt.Sprintf("bucket%d", s.buckets.Add(1))
	err := os.Mkdir(filepath.Join(s.dir, "data", name), 0o700)
	return object.Source{URL: "s3://" + name + "/pre/fix", Endpoint: "http://" + s.Address, PathStyle: true, AccessKey: s.access, SecretKey: s.secret}, err
}

// KeepVersions has the bucket keep what is replaced and deleted.
func (s *Service) KeepVersions(ctx context.Context, bucket object.Source) error {
	c, name, err := s.client(bucket)
	if err != nil {
		return err
	}
	return c.EnableVersioning(ctx, name)
}

// Versions counts the objects of the bucket, and all their versions.
func (s *Service) Versions(ctx context.Context, bucket object.Source) (objects, versions int, err error) {
	c, name, err := s.client(bucket)
	if err != nil {
		return 0, 0, err
	}
	for o := range c.ListObjectsIter(ctx, name, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			return 0, 0, o.Err
		}
		if !o.IsDeleteMarker {
			versions++
		}
		if o.IsLatest && !o.IsDeleteMarker {
			objects++
		}
	}
	return objects, versions, nil
}

func (s *Service) client(bucket object.Source) (c *minio.Client, name string, err error) {
	name, _, _ = strings.Cut(strings.TrimPrefix(bucket.URL, "s3://"), "/")
	c, err = minio.New(s.Address, &minio.Options{Creds: credentials.NewStaticV4(s.access, s.secret, ""), BucketLookup: minio.BucketLookupPath})
	return c, name, err
}
