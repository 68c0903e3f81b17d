#!/bin/sh
# install.sh VERSION: install old.deb, use it, upgrade it to new.deb, remove and purge it, in a copy of
# this system (see copy.sh). VERSION is that of the programs in new.deb.
set -eu

newer=$1
data=/var/lib/hufu/data
unit=/usr/lib/systemd/system/hufud.service
env=/etc/hufu/hufud.env

step() { echo "== $*"; }
fail() {
	echo "FAILED: $*"
	[ ! -e server.log ] || tail -n 20 server.log
	exit 1
}
same() { [ "$1" = "$2" ] || fail "want $2, have $1"; }

# as USER COMMAND...
as() {
	user=$1
	shift
	setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups --no-new-privs env HOME="/tmp/$user" "$@"
}
admin() { as hufu hufud --data "$data" "$@"; }
alice() { as alice hufu --lang en "$@"; }

# serve runs what the unit runs, as its user and with its settings, until it listens.
serve() {
	rm -f started
	mkfifo started
	(
		set -a
		. "$env"
		exec setpriv --reuid=hufu --regid=hufu --init-groups --no-new-privs --bounding-set=-all \
			sh -c "umask 077; exec $(sed -n 's/^ExecStart=//p' "$unit")" >started 2>&1
	) &
	server=$!
	exec 3<started
	while read -r line <&3; do
		echo "$line" >>server.log
		case $line in *msg=listening*) break ;; esac
	done
	cat <&3 >>server.log &
	exec 3<&-
	kill -0 "$server" || fail "the server has ended"
}

stop() {
	kill -TERM "$server"
	wait "$server" || fail "the server ended with $?"
}

step install
dpkg -i old.deb
same "$(stat -c '%U %G %a' /var/lib/hufu)" 'hufu hufu 700'
same "$(stat -c '%U %G %a' "$env")" 'root hufu 640'
same "$(getent passwd hufu | cut -d: -f6,7)" /var/lib/hufu:/usr/sbin/nologin
case $(hufu version) in 'hufu 1.0.0 '*) ;; *) fail "$(hufu version)" ;; esac
systemd-analyze verify "$unit" 2>&1 | tee verify.txt
[ ! -s verify.txt ] || fail "systemd does not like the unit"
gzip -t /usr/share/man/man1/hufu.1.gz
desktop-file-validate /usr/share/applications/hufu.desktop
[ -s /usr/share/icons/hicolor/scalable/apps/hufu.svg ] || fail 'the menu has no icon'
HOME=/tmp hufu gui --install --print 2>print.txt | grep -Ev '^#|Exec=' >entry
grep -v Exec= /usr/share/applications/hufu.desktop | cmp - entry || fail 'the menu entry is not that of hufu gui --install'

step 'the first server, as the README says'
useradd --create-home --home-dir /tmp/alice alice
admin init --name localhost --no-passphrase
echo HUFU_ADVERTISE=localhost:9999 >>"$env"
serve
grep 'msg=listening .*:9999' server.log
echo 'a password for alice' >password
chmod 644 password
admin user add alice
admin invite alice >invitation
code=$(grep -o 'hufu1_[^ ]*' invitation | head -n 1)
alice enroll "$code" --password-file password
echo hello >hello
alice put hello :/
alice get :/hello alice/back
cmp hello alice/back

step 'upgrade during a transfer'
head -c 300000000 /dev/urandom >big
tc qdisc add dev lo root tbf rate 16mbit burst 256kb latency 100ms # or it would be over too soon
alice put big :/ >put.txt 2>&1 &
put=$!
until [ -n "$(find $data/files/users/alice -name '.hufu-*')" ]; do
	kill -0 "$put" || fail "the transfer was over before: $(cat put.txt)"
done
dpkg -i new.deb
same "$(dpkg-query -W -f '${Version}' hufu)" 1.0.1
kill -0 "$server" || fail 'the server has ended'
[ ! -e $data/files/users/alice/big ] || fail 'the transfer was over before'
stop
tc qdisc del dev lo root
serve
wait "$put" || fail "put: $(cat put.txt)"
cmp big $data/files/users/alice/big
grep -q HUFU_ADVERTISE=localhost "$env" || fail 'the settings are lost'
same "$(stat -c '%U %G %a' "$env")" 'root hufu 640'
admin status | tee status.txt
grep -qF "version $newer" status.txt || fail 'an old server runs'
alice get :/hello alice/again
cmp hello alice/again
stop

step remove
dpkg -r hufu
[ ! -e /usr/bin/hufud ] && [ ! -e "$unit" ] || fail 'programs are left'
[ -e "$env" ] && cmp big $data/files/users/alice/big || fail 'data or settings are lost'

step purge
dpkg -P hufu
[ ! -e /etc/hufu ] || fail 'settings are left'
getent passwd hufu || fail 'the owner of the data is gone'
cmp big $data/files/users/alice/big || fail 'data are lost'

step 'install again, with the data that were kept'
dpkg -i new.deb
echo HUFU_ADVERTISE=localhost:9999 >>"$env"
serve
alice get :/big alice/big
cmp big alice/big
stop
echo 'all done'
