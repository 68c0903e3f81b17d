// Package capture shows what an eavesdropper would have read.
//
// It records the client's own connections without root: [Wrap] puts a tap
// around a net.Conn, the [Recorder] remembers in causal order what was written
// and read, and from that makes the Ethernet, IP and TCP packets that such a
// connection has, so that Wireshark opens the file as TCP streams. The bytes,
// addresses, ports and their order are real; sequence numbers, handshakes and
// acknowledgements are made up, and the file's comment says so.
// [Recorder.Analyse] says in which packet a name, a password or a file stands in
// clear, and names the records of TLS. Package report tells people.
//
// Only packets of the tap's own end are recorded, and only in memory up to a
// limit that is an error to pass, never a silent cut. Secrets of TLS get into
// a file only through [Secrets]. Which connections are made, to whom and with
// which password is left to the caller.
package capture
