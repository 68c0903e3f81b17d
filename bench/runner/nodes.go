//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The workloads on an S3 store have more below root:
//
//	root/s3        what versitygw keeps: a folder for each bucket
//	root/database  what PostgreSQL keeps
//	root/back      what hufu has put, fetched again to be compared
//
// One bucket is hufu's, one that of the peers.
const (
	ourBucket   = "hufu"
	theirBucket = "peers"
)

// atOnce is how many commands of hufu-64 run at once. Each has two lanes.
const atOnce = 32

// lanesDir is where the source lies in as many parts.
func (p *place) lanesDir() string { return p.root + "/src/lanes" }

func (p *place) bucket(name string) string { return filepath.Join(p.root, "s3", name) }

// makeStore makes the folders and the keys of the store.
func (p *place) makeStore() error {
	dirs := []string{p.bucket(ourBucket), p.bucket(theirBucket), p.root + "/database", p.root + "/back"}
	if p.w.links {
		for n := 2; n <= mostLinks; n++ {
			dirs = append(dirs, p.bucket(fmt.Sprint(ourBucket, "-", n)))
		}
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	p.s3Key, p.s3Secret = "bench", randomPassword()
	p.env = append(p.env, "ROOT_ACCESS_KEY_ID="+p.s3Key, "ROOT_SECRET_ACCESS_KEY="+p.s3Secret,
		"AWS_ACCESS_KEY_ID="+p.s3Key, "AWS_SECRET_ACCESS_KEY="+p.s3Secret)
	who := unprivileged()
	if who == nil {
		return nil
	}
	// The database server runs as another user, who has to get there.
	return errors.Join(os.Chmod(p.root, 0o711), os.Chown(p.root+"/database", int(who.Uid), int(who.Gid)))
}

// unprivileged is the user who runs the database server, which refuses to be root.
func unprivileged() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	const nobody = 65534
	return &syscall.Credential{Uid: nobody, Gid: nobody}
}

// startStorage starts what the server of a peer keeps its files in.
func (p *place) startStorage(ctx context.Context, who peer) error {
	names := []string{"s3"}
	if who.isHufu() {
		names = append(names, "postgres")
	}
	for _, name := range names {
		if p.servers[name] != nil {
			continue
		}
		s, err := p.start(ctx, name)
		if err != nil {
			return err
		}
		p.servers[name] = s
	}
	return nil
}

// address of a server that was started.
func (s *server) address() string {
	for _, v := range s.env {
		if a, ok := strings.CutPrefix(v, "ADDR="); ok {
			return a
		}
	}
	return ""
}

// configureS3 has the attributes of objects beside them where the file system keeps none.
func (p *place) configureS3(address string) (argv, env []string, err error) {
	argv = []string{"versitygw", "--port", address, "--quiet", "posix"}
	if unix.Setxattr(p.root+"/s3", "user.bench", nil, 0) != nil {
		beside := p.root + "/s3-attributes"
		if err := os.Mkdir(beside, 0o700); err != nil {
			return nil, nil, err
		}
		argv = append(argv, "--sidecar", beside)
	}
	return append(argv, p.root+"/s3"), nil, nil
}

func (p *place) configurePostgres(ctx context.Context, port string) (argv, env []string, err error) {
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bin) == 0 {
		return nil, nil, errors.New("PostgreSQL is not installed")
	}
	at, dir := bin[len(bin)-1], p.root+"/database"
	p.dbPassword = randomPassword()
	who, secret := unprivileged(), dir+"/secret"
	if err := os.WriteFile(secret, []byte(p.dbPassword+"\n"), 0o600); err != nil {
		return nil, nil, err
	}
	if who != nil {
		if err := os.Chown(secret, int(who.Uid), int(who.Gid)); err != nil {
			return nil, nil, err
		}
	}
	initdb := exec.CommandContext(ctx, at+"/initdb", "-D", dir+"/data", "-U", "hufu", "--auth=scram-sha-256", "--pwfile="+secret, "-E", "UTF8", "--locale=C.UTF-8")
	initdb.Env, initdb.Dir = p.env, dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("initdb: %w: %s", err, lastLine(out))
	}
	return []string{at + "/postgres", "-D", dir + "/data", "-p", port, "-h", p.address, "-k", dir}, nil, nil
}

// configuration is hufud.toml of a node.
func (p *place) configuration(database, bucket string) string {
	return fmt.Sprintf("[database]\nurl = %q\n[store]\nurl = %q\nendpoint = %q\npath_style = true\n",
		"postgres://hufu:"+p.dbPassword+"@"+p.servers["postgres"].address()+"/"+database+"?sslmode=disable",
		"s3://"+bucket, "http://"+p.servers["s3"].address())
}

// remote is the bucket of the peers as rclone names it.
func (p *place) remote() string {
	return fmt.Sprintf(`:s3,provider=Other,env_auth=true,force_path_style=true,no_check_bucket=true,endpoint="http://%s":%s`, p.servers["s3"].address(), theirBucket)
}

func (p *place) configureWebDAV(port string) (argv, env []string, err error) {
	tls := []string{"--cert", p.work + "/server.pem", "--key", p.work + "/server.key", "--client-ca", p.work + "/ca.pem"}
	argv = append([]string{"rclone", "serve", "webdav", "--config", "", "--addr", net.JoinHostPort(p.address, port)}, tls...)
	return append(argv, p.remote()), []string{"DAV=" + fmt.Sprintf(`:webdav,vendor=rclone,url="https://%s":`, net.JoinHostPort(p.address, port))}, certificates(p.work, p.address)
}

func (p *place) configureSFTPGo(ctx context.Context, port string) (argv, env []string, err error) {
	me, err := user.Current()
	if err != nil {
		return nil, nil, err
	}
	for _, key := range []string{"sftpgo-host", "sftpgo-id"} {
		if err := p.do(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", p.work+"/"+key); err != nil {
			return nil, nil, err
		}
	}
	host, err1 := os.ReadFile(p.work + "/sftpgo-host.pub")
	id, err2 := os.ReadFile(p.work + "/sftpgo-id.pub")
	n, err3 := strconv.Atoi(port)
	program, err4 := exec.LookPath("sftpgo")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, nil, err
	}
	type object map[string]any
	off := []object{{"port": 0}}
	share := filepath.Join(filepath.Dir(program), "sftpgo-share")
	config, err1 := json.Marshal(object{
		"common":        object{"idle_timeout": 0, "max_per_host_connections": 0},
		"sftpd":         object{"bindings": []object{{"port": n, "address": p.address}}, "host_keys": []string{p.work + "/sftpgo-host"}},
		"ftpd":          object{"bindings": off},
		"webdavd":       object{"bindings": off},
		"httpd":         object{"bindings": off, "templates_path": share + "/templates", "static_files_path": share + "/static"},
		"smtp":          object{"templates_path": share + "/templates"},
		"telemetry":     object{"bind_port": 0},
		"data_provider": object{"driver": "memory", "name": "", "users_base_dir": "", "create_default_admin": false},
	})
	load, err2 := json.Marshal(object{"version": 16, "folders": []object{}, "users": []object{{
		"id": 1, "username": me.Username, "status": 1, "public_keys": []string{strings.TrimSpace(string(id))}, "home_dir": p.root + "/sftpgo", "permissions": object{"/": []string{"*"}},
		"filesystem": object{"provider": 1, "s3config": object{
			"bucket": theirBucket, "region": "us-east-1", "access_key": p.s3Key, "access_secret": object{"status": "Plain", "payload": p.s3Secret},
			"endpoint": "http://" + p.servers["s3"].address(), "force_path_style": true,
		}},
	}}})
	err = errors.Join(err1, err2, os.Mkdir(p.work+"/sftpgo", 0o700), p.write("sftpgo/sftpgo.json", string(config)), p.write("sftpgo/load.json", string(load)),
		p.write("sftpgo_known", fmt.Sprintf("[%s]:%s %s", p.address, port, host)),
		p.write("sftpgo_ssh", strings.NewReplacer("WORK", p.work, "ADDRESS", p.address, "PORT", port, "USER", me.Username).Replace(`Host *
Ciphers aes128-gcm@openssh.com
HostName ADDRESS
Port PORT
User USER
IdentityFile WORK/sftpgo-id
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile WORK/sftpgo_known
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking yes
LogLevel ERROR
`)))
	return []string{program, "serve", "-c", p.work + "/sftpgo", "--config-file", "sftpgo.json", "-l", p.work + "/sftpgo.log", "--log-level", "warn", "--loaddata-from", p.work + "/sftpgo/load.json", "--loaddata-mode", "0"},
		[]string{fmt.Sprintf("RSFTP=:sftp,host=%s,port=%s,user=%s,key_file=%s/sftpgo-id,known_hosts_file=%s/sftpgo_known,ciphers=aes128-gcm@openssh.com,disable_hashcheck=true,shell_type=none:", p.address, port, me.Username, p.work, p.work)}, err
}

// provide puts what is to be fetched into the store, once for hufu and once for the peers.
func (p *place) provide(ctx context.Context, who peer) error {
	if who.isHufu() {
		if who.parts == atOnce {
			return p.hufu(ctx, who, "put", "-q", p.lanesDir(), ":/src/")
		}
		return p.hufu(ctx, who, "put", "-q", p.src(), ":/src/")
	}
	if _, err := os.Stat(p.bucket(theirBucket) + "/src"); err == nil {
		return nil
	}
	verb := "copyto"
	if p.w.shape.tree() {
		verb = "copy"
	}
	return p.do(ctx, "rclone", verb, "--config", "", p.src(), p.remote()+"/src/"+p.name())
}

// fetch gets back what hufu has put. That is not measured.
func (p *place) fetch(ctx context.Context, who peer) error {
	return errors.Join(empty(p.root+"/back"), p.hufu(ctx, who, "get", "-q", ":/in", p.root+"/back/"))
}

// clearStore removes the uploaded files. hufu keeps the objects of removed files for 30 days.
func (p *place) clearStore(ctx context.Context, who peer) error {
	if !who.isHufu() {
		return empty(p.bucket(theirBucket) + "/in")
	}
	if !p.uploaded[who.server] {
		return nil
	}
	p.uploaded[who.server] = false
	err := errors.Join(empty(p.root+"/back"), p.hufu(ctx, who, "rm", "-r", ":/in"))
	all, err2 := filepath.Glob(p.bucket(bucketOf(who.server)) + "/*/*")
	err = errors.Join(err, err2)
	for _, content := range all {
		err = errors.Join(err, os.RemoveAll(content))
	}
	return err
}

// split writes the parts of a file, named by their numbers, into dir.
func split(name, dir string, size, parts int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i := range parts {
		part, err := os.Create(filepath.Join(dir, strconv.FormatInt(i, 10)))
		if err != nil {
			return err
		}
		_, err = io.CopyN(part, f, size*(i+1)/parts-size*i/parts)
		if err = errors.Join(err, part.Close()); err != nil {
			return err
		}
	}
	return nil
}
