#!/bin/sh
# What the tests need beside Go: as root on Debian it is installed, elsewhere
# it is named. Each line is a package and a command or file that shows it.
set -u

needs='
gcc gcc
libc6-dev /usr/include/features.h
openssl openssl
tshark tshark
chromium chromium
firefox-esr firefox-esr
fonts-wqy-microhei /usr/share/fonts/truetype/wqy
e2fsprogs mkfs.ext4
ntfs-3g lowntfs-3g
util-linux setpriv
strace strace
attr setfattr
b3sum b3sum
rsync rsync
openssh-client ssh
postgresql /usr/lib/postgresql
mariadb-server mariadbd
dpkg dpkg-deb
rpm rpm
systemd systemd-analyze
iproute2 tc
desktop-file-utils desktop-file-validate
libglib2.0-bin gio
'

PATH=$PATH:/usr/sbin:/sbin
missing=$(echo "$needs" | while read -r package sign; do
	case $sign in
	'') ;;
	/*) [ -e "$sign" ] || echo "$package" ;;
	*) command -v "$sign" >/dev/null 2>&1 || echo "$package" ;;
	esac
done | tr '\n' ' ')
missing=${missing% }

[ -n "$missing" ] || exit 0

# The names are split into words on purpose.
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing for the tests: $missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q >/dev/null && apt-get install -q -y --no-install-recommends $missing >/dev/null && exit 0
	echo "could not install: $missing" >&2
	exit 1
fi

echo "The tests need these packages, which are not there: $missing" >&2
echo "On Debian or Ubuntu:  sudo apt-get install --no-install-recommends $missing" >&2
exit 1
