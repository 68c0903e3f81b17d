// Command handshake counts how many connections with mutual TLS 1.3 a server
// takes in a second, none of them resumed. It knows no protocol beyond TLS:
// after its handshake it ends its direction and waits until the server has
// ended too. A server that refuses the certificate sends an alert instead, so
// what is counted has been accepted by both sides.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

func main() {
	address := flag.String("address", "", "ADDR:PORT of the server")
	name := flag.String("name", "localhost", "name in its certificate")
	roots := flag.String("ca", "", "file with its CA")
	cert := flag.String("cert", "", "file with our certificate and what leads to the CA")
	key := flag.String("key", "", "file with our key")
	alpn := flag.String("alpn", "", "protocol to ask for")
	seconds := flag.Int("seconds", 5, "how long")
	jobs := flag.Int("jobs", 16, "connections at a time")
	flag.Parse()
	config, err := configure(*name, *roots, *cert, *key, *alpn)
	if err == nil {
		err = run(*address, config, time.Duration(*seconds)*time.Second, *jobs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "handshake:", err)
		os.Exit(1)
	}
}

func configure(name, roots, cert, key, alpn string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(roots)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", roots)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: name, RootCAs: pool}
	// As every client of either server should: whoever names our issuer has it,
	// and would only have to verify what leads to it.
	config.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		for _, subject := range asked.AcceptableCAs {
			if bytes.Equal(subject, pair.Leaf.RawIssuer) {
				return &tls.Certificate{Certificate: pair.Certificate[:1], PrivateKey: pair.PrivateKey}, nil
			}
		}
		return &pair, nil
	}
	if alpn != "" {
		config.NextProtos = []string{alpn}
	}
	return config, nil
}

func run(address string, config *tls.Config, limit time.Duration, jobs int) error {
	var (
		mu     sync.Mutex
		took   []time.Duration
		failed error
		wait   sync.WaitGroup
	)
	begin := time.Now()
	for range jobs {
		wait.Go(func() {
			for time.Since(begin) < limit {
				at := time.Now()
				err := connect(address, config)
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
				took = append(took, time.Since(at))
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	wall := time.Since(begin)
	if failed != nil {
		return failed
	}
	slices.Sort(took)
	fmt.Printf("%d connections in %.3f s, median %v, 99 %% below %v\n", len(took), wall.Seconds(), took[len(took)/2], took[len(took)*99/100])
	return nil
}

func connect(address string, config *tls.Config) error {
	raw, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return err
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}
