#!/bin/sh
# hour.sh LANG: run what is in blocks/ in the order of the names, in a copy of this system (see copy.sh)
# that stands for four computers: server.example.org and those of alice, bob and carol. A file
# NUMBER-PERSON-HOW holds a command of a document; its output is shown between two marks.
set -eu
unset LC_ALL
LANG=$1
echo '127.0.0.1 server.example.org' >>/etc/hosts
for person in alice bob carol; do
	useradd --create-home --shell /bin/sh "$person"
	head -c 3000000 /dev/urandom >"/home/$person/bigfile"
done
mkdir codes
if grep -qs bin/hufud blocks/*; then # the document has them built
	dpkg-deb -x ./*.deb built
	mkdir /root/bin
	cp built/usr/bin/* /root/bin
	cp built/usr/bin/hufu /usr/local/bin
fi
cp ./*.deb /root

# Two programs of the system need more than there is in the copy: sudo a password, and systemctl a
# running systemd. These do what the document uses of them. A timer of a user is checked, and its
# service runs at once, as systemd would run it.
bin=/usr/local/sbin
cat >$bin/sudo <<'END'
#!/bin/sh
[ "$1" = -u ] || exec "$@"
user=$2
shift 2
exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups env HOME=/ "$@"
END
cat >$bin/systemctl <<'END'
#!/bin/sh
if [ "$1 $2 $3" = '--user enable --now' ]; then
	cd "$HOME/.config/systemd/user"
	service=${4%.timer}.service
	said=$(XDG_RUNTIME_DIR=$HOME systemd-analyze --user verify "./$4" "./$service" 2>&1) && [ -z "$said" ] || { echo "$said"; exit 1; }
	systemd-analyze calendar "$(sed -n 's/^OnCalendar=//p' "$4")" >/dev/null || exit 1
	exec env -i PATH=/usr/bin:/bin HOME="$HOME" sh -c "$(sed -n "s|%h|$HOME|g; s/^ExecStart=//p" "$service")"
fi
[ "$*" = 'enable --now hufud' ] || exit 0 # what the scripts of the package ask for
unit=/usr/lib/systemd/system/hufud.service
set -a
. /etc/hufu/hufud.env
setsid setpriv --reuid=hufu --regid=hufu --init-groups --bounding-set=-all \
	sh -c "umask 077; exec $(sed -n 's/^ExecStart=//p' $unit)" >/tmp/server.log 2>&1 &
for i in $(seq 600); do
	! grep -qs msg=listening /tmp/server.log || exit 0
	sleep 0.1
done
exit 1
END
chmod 755 $bin/sudo $bin/systemctl

# on PERSON COMMAND…: run a command on the computer of a person, or as the server's administrator.
on() {
	user=$1 home=/home/$1
	[ "$user" != server ] || user=root home=/root
	shift
	(cd "$home" && exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups --no-new-privs \
		env -i PATH="$PATH" LANG="$LANG" TERM=dumb HOME="$home" LOGNAME="$user" "$@")
}

# typed PERSON FILE: type the command in FILE, and the answers in standard input, at a terminal. With
# -m what runs in the background outlives the shell, as at an interactive one.
typed() { on "$1" timeout 120 script --quiet --return --flush --command "sh -em /tmp/$2" /dev/null; }

answers() {
	case $(cat "$1") in
	*' init '* | *'hufu enroll '*) printf 'correct horse battery\ncorrect horse battery\n' ;;
	*' invite '*) echo y ;;
	esac
}

fail() {
	echo "FAILED: $*"
	[ ! -e server.log ] || tail -n 20 server.log
	exit 1
}

for block in blocks/*; do
	name=${block##*/}
	person=${name#*-} how=${name##*-}
	person=${person%-*}
	[ ! -e "codes/$person" ] || sed -i "s/hufu1_[^ ]*…/$(cat "codes/$person")/" "$block"
	status=0
	case $how in
	stays) # until Ctrl-C is pressed, after the last block
		mkfifo keys
		typed "$person" "$block" <keys >stays.out 2>&1 &
		stays=$! stayed=$name
		exec 4>keys
		continue
		;;
	cron) # as cron runs it: little in the environment, no terminal
		(cd "/home/$person" && exec setpriv --reuid="$person" --regid="$(id -g "$person")" --init-groups --no-new-privs \
			env -i SHELL=/bin/sh PATH=/usr/bin:/bin HOME="/home/$person" LOGNAME="$person" sh -c "$(cat "/tmp/$block")" </dev/null) >out 2>&1 || status=$?
		;;
	soon)
		for i in $(seq 300); do
			status=0
			answers "$block" | typed "$person" "$block" >out 2>&1 || status=$?
			[ $status != 0 ] || break
			sleep 0.1
		done
		;;
	*) answers "$block" | typed "$person" "$block" >out 2>&1 || status=$? ;;
	esac
	echo "== $name"
	tr -d '\r' <out
	echo '== end'
	case $how:$status in
	fails:0) fail "$name succeeded" ;;
	fails:* | *:0) ;;
	*) fail "$name: exit status $status" ;;
	esac
	case $(cat "$block") in
	*'&') until ss -Hltn | grep -q :9999; do sleep 0.1; done ;;
	esac
	invited=$(sed -n 's/.* invite \([a-z]*\).*/\1/p' "$block")
	[ -z "$invited" ] || grep -o 'hufu1_[^ ]*' out | tr -d '\r' | head -n 1 >"codes/$invited"
done

if [ -e keys ]; then
	printf '\003' >&4
	status=0
	wait "$stays" || status=$?
	echo "== $stayed"
	tr -d '\r' <stays.out
	echo '== end'
	[ $status = 0 ] || [ $status = 130 ] || fail "Ctrl-C: exit status $status"
fi
echo 'all done'
