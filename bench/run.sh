#!/bin/sh
# Measures hufu beside other tools on this computer; bench/README.md says how to
# read what comes out. The arguments are those of the runner:
#
#	bench/run.sh --list
#	bench/run.sh big small --peers hufu,scp-gcm,rsync-ssh-gcm --runs 3
#	bench/run.sh idle --connections 1000
#	bench/run.sh nodes
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
out=$PWD/bench/out
rclone=github.com/rclone/rclone@v1.76.0
sftpgo=github.com/drakkan/sftpgo/v2@v2.6.4

mkdir -p "$out/bin"
PATH=$out/bin:$PWD/bin:$PATH
if [ ! -x bin/hufu ] || [ ! -x bin/hufud ]; then make build; fi
CGO_ENABLED=0 go build -buildvcs=false -o "$out/bin/" ./bench/...

case " $* " in
*" --list "* | *" --help "* | *" -h "*) exec runner "$@" ;;
esac

root=
[ "$(id -u)" -ne 0 ] || root=yes

# install PACKAGE...: a daemon that a package brings is not to start by itself.
install() {
	policy=/usr/sbin/policy-rc.d
	if [ -e "$policy" ]; then policy=; fi
	if [ -n "$policy" ]; then
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
	fi
	echo "installing: $*" >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q >/dev/null
	apt-get install -q -y --no-install-recommends "$@" >/dev/null
	if [ -n "$policy" ]; then rm -f "$policy"; fi
	trap - EXIT
}

needs=$(runner --needs "$@") || exit $?
case " $needs " in
*" rclone "*)
	echo "building $rclone" >&2
	GOBIN=$out/bin CGO_ENABLED=0 go install "$rclone"
	needs=$(runner --needs "$@")
	;;
esac
case " $needs " in
*" versitygw "*)
	echo "building versitygw" >&2
	CGO_ENABLED=0 go build -modfile=tools/s3.mod -o "$out/bin/versitygw" github.com/versity/versitygw/cmd/versitygw
	needs=$(runner --needs "$@")
	;;
esac
case " $needs " in
*" sftpgo "*)
	# Its module replaces others, so "go install" refuses it: it is built in a copy.
	echo "building $sftpgo" >&2
	copy=$(mktemp -d)
	at=$(cd / && go mod download -json "$sftpgo" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	cp -r "$at/." "$copy" && chmod -R u+w "$copy"
	(cd "$copy" && CGO_ENABLED=0 go build -trimpath -tags nogcs,noazblob,nobolt,nomysql,nopgsql,nosqlite -o "$out/bin/sftpgo" .)
	mkdir -p "$out/bin/sftpgo-share" && cp -r "$copy/templates" "$copy/static" "$out/bin/sftpgo-share/"
	rm -rf "$copy"
	needs=$(runner --needs "$@")
	;;
esac
if [ -n "$needs" ]; then
	if [ -z "$root" ] || ! command -v apt-get >/dev/null; then
		echo "These packages are needed and not there: $needs" >&2
		echo "On Debian or Ubuntu:  sudo apt-get install --no-install-recommends $needs" >&2
		exit 1
	fi
	# The names are split into words on purpose.
	# shellcheck disable=SC2086
	install $needs
fi

# A network namespace of its own: no port is taken, nothing is reachable from
# outside, no firewall rule is in the way.
csv=$out/$(date -u +%Y%m%dT%H%M%S).csv
status=0
if [ -n "$root" ] && unshare --net true 2>/dev/null; then
	# shellcheck disable=SC2016
	unshare --net sh -c 'ip link set lo up && exec "$@"' sh runner "$@" --own-network --csv "$csv" || status=$?
else
	runner "$@" --csv "$csv" || status=$?
fi
plot "$csv" || status=$?
echo "${csv%.csv}.md, .csv, .svg" >&2
exit "$status"
