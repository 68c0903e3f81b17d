//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A server is one that we have started and that we stop, by its own process id.
type server struct {
	cmd  *exec.Cmd
	more []*exec.Cmd // further nodes of a hufu service
	side *side
	env  []string // for the commands of its peers
}

// start starts the server of that name and waits until it listens.
func (p *place) start(ctx context.Context, name string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(p.host(name), port)
	argv, env, err := p.configure(ctx, name, port)
	if err != nil {
		return nil, fmt.Errorf("configure %s: %w", name, err)
	}
	s := &server{env: append(env, "ADDR="+address, "HOST="+p.host(name), "PORT="+port)}
	if s.side, err = newSide(p.groups, p.w.name+"-"+name); err != nil {
		return nil, err
	}
	s.cmd, err = p.listen(s.side, name, address, append(p.serverPrefix, argv...))
	if err != nil {
		s.side.close()
		return nil, err
	}
	s.side.root = s.cmd.Process.Pid
	return s, nil
}

// listen starts a program of a side and waits until it listens at address.
func (p *place) listen(s *side, name, address string, argv []string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(p.work, name+".out"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.env, p.work, log, log, s.attributes()
	if name == "postgres" {
		cmd.SysProcAttr.Credential = unprivileged()
		cmd.Dir = p.root + "/database"
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for range 100 {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return cmd, conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	end(cmd)
	text, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("%s does not listen: %s", name, lastLine(text))
}

// end asks a server to end and waits for it, at most ten seconds.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
}

func (s *server) stop() {
	for _, cmd := range append(s.more, s.cmd) {
		end(cmd)
	}
	s.side.close()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// configure writes what the server needs and returns its command line and the
// variables for the commands of its peers.
func (p *place) configure(ctx context.Context, name, port string) (argv, env []string, err error) {
	switch name {
	case "hufud":
		if !p.w.links {
			return p.configureHufud(ctx, port)
		}
		return p.configureService(ctx, name, port)
	case "hufud-2", "hufud-3":
		return p.configureService(ctx, name, port)
	case "sshd":
		return p.configureSSH(ctx, port)
	case "nginx":
		return p.configureNginx(port)
	case "rsyncd":
		ids := ""
		if os.Getuid() == 0 {
			ids = "uid = root\ngid = root\n"
		}
		err = p.write("rsyncd.conf", fmt.Sprintf("use chroot = no\nlog file = %s/rsyncd.log\n%s[store]\npath = %s\nread only = no\n", p.work, ids, p.root))
		return []string{"rsync", "--daemon", "--no-detach", "--config", p.work + "/rsyncd.conf", "--address", p.address, "--port", port},
			[]string{"RSYNC=rsync://" + net.JoinHostPort(p.address, port) + "/store"}, err
	case "s3":
		return p.configureS3(net.JoinHostPort(p.address, port))
	case "postgres":
		return p.configurePostgres(ctx, port)
	case "sftpgo":
		return p.configureSFTPGo(ctx, port)
	case "rclone-webdav":
		return p.configureWebDAV(port)
	case "iperf3":
		return []string{"iperf3", "-s", "-B", p.address, "-p", port}, nil, nil
	}
	return nil, nil, fmt.Errorf("there is no server %q", name)
}

func (p *place) write(name, text string) error {
	return os.WriteFile(filepath.Join(p.work, name), []byte(text), 0o600)
}

func (p *place) configureHufud(ctx context.Context, port string) (argv, env []string, err error) {
	address := net.JoinHostPort(p.address, port)
	names := "localhost"
	if p.w.far {
		names += "," + p.address
	}
	password := filepath.Join(p.work, "password")
	initialize := []string{"hufud", "--data", p.hufud(), "init", "--name", names, "--no-passphrase"}
	if p.w.s3 {
		if err := p.write("hufud.toml", p.configuration("postgres", ourBucket)); err != nil {
			return nil, nil, err
		}
		initialize = append(initialize, "--config", p.work+"/hufud.toml")
	}
	if err := errors.Join(p.write("password", randomPassword()+"\n"), p.do(ctx, initialize...)); err != nil {
		return nil, nil, err
	}
	argv = []string{"hufud", "--data", p.hufud(), "serve", "--listen", address, "--log-file", p.work + "/hufud.log"}
	p.enroll = `code=$(hufud --data "$1" invite --address "$2" bench) && exec hufu enroll "$code" --password-file "$3"`
	p.enrollArgs = []string{p.hufud(), address, password}
	return argv, []string{"PROFILE=" + p.work + "/home/.config/hufu/profiles/default"}, nil
}

func (p *place) configureSSH(ctx context.Context, port string) (argv, env []string, err error) {
	me, err := user.Current()
	if err != nil {
		return nil, nil, err
	}
	for _, key := range []string{"host", "id"} {
		if err := p.do(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", p.work+"/"+key); err != nil {
			return nil, nil, err
		}
	}
	if os.Getuid() == 0 {
		// sshd wants it, its package makes it at boot.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, nil, err
		}
	}
	host, err := os.ReadFile(p.work + "/host.pub")
	if err != nil {
		return nil, nil, err
	}
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		return nil, nil, err
	}
	// HOME: the user's own start-up file of the shell is not to be measured.
	err = errors.Join(
		p.write("known_hosts", fmt.Sprintf("[%s]:%s %s", p.address, port, host)),
		p.write("sshd_config", strings.NewReplacer("WORK", p.work, "ADDRESS", p.address, "PORT", port).Replace(`ListenAddress ADDRESS
Port PORT
HostKey WORK/host
AuthorizedKeysFile WORK/id.pub
SetEnv HOME=WORK/home
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
PidFile none
MaxStartups 100
LogLevel ERROR
Subsystem sftp internal-sftp
`)),
		p.write("ssh_config", strings.NewReplacer("WORK", p.work, "ADDRESS", p.address, "PORT", port, "USER", me.Username).Replace(`Host gcm
Ciphers aes128-gcm@openssh.com
Host *
HostName ADDRESS
Port PORT
User USER
IdentityFile WORK/id
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile WORK/known_hosts
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking yes
LogLevel ERROR
`)))
	return []string{sshd, "-D", "-e", "-f", p.work + "/sshd_config"},
		[]string{fmt.Sprintf("RCLONE=:sftp,host=%s,port=%s,user=%s,key_file=%s/id,known_hosts_file=%s/known_hosts:", p.address, port, me.Username, p.work, p.work)}, err
}

func (p *place) configureNginx(port string) (argv, env []string, err error) {
	me := ""
	if os.Getuid() == 0 {
		me = "user root;"
	}
	err = errors.Join(
		certificates(p.work, p.address),
		os.MkdirAll(p.root+"/nginx", 0o755), // on the same file system: what has arrived is renamed
		p.write("curlrc", strings.ReplaceAll(`silent
show-error
fail
tlsv1.3
tls13-ciphers = TLS_AES_128_GCM_SHA256
header = "Expect:"
cacert = WORK/ca.pem
cert = WORK/client.pem
key = WORK/client.key
`, "WORK", p.work)),
		p.write("nginx.conf", strings.NewReplacer("WORK", p.work, "ADDRESS", p.address, "PORT", port, "STORE", p.root, "USER", me).Replace(`USER
daemon off;
worker_processes auto;
pid WORK/nginx.pid;
error_log WORK/nginx.log;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000;
	client_max_body_size 0;
	client_body_buffer_size 1m;
	client_body_temp_path STORE/nginx/body;
	proxy_temp_path STORE/nginx/proxy;
	fastcgi_temp_path STORE/nginx/fastcgi;
	uwsgi_temp_path STORE/nginx/uwsgi;
	scgi_temp_path STORE/nginx/scgi;
	server {
		listen ADDRESS:PORT ssl backlog=1024;
		ssl_certificate WORK/server.pem;
		ssl_certificate_key WORK/server.key;
		ssl_client_certificate WORK/ca.pem;
		ssl_verify_client on;
		ssl_protocols TLSv1.3;
		ssl_session_tickets off;
		ssl_session_cache off;
		root STORE;
		location / {
			dav_methods PUT;
			create_full_put_path on;
		}
	}
}
`)))
	return []string{"nginx", "-e", p.work + "/nginx.log", "-p", p.work, "-c", p.work + "/nginx.conf"}, []string{"HTTPS=https://" + net.JoinHostPort(p.address, port)}, err
}
