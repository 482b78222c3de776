# Runs a mail server from an unpacked package over a copy-on-write view of this machine, in
# mount, host-name and process namespaces of its own (unshare(1) has made them). Users, spool
# folders and settings that it needs exist inside only.
#
#   sh namespace.sh PACKAGE HOST FIRST COMMAND...
#
# PACKAGE: the unpacked package. HOST: the host name inside. FIRST: shell lines run first inside.
# COMMAND stays in the foreground. This shell is the namespace's first process and lives until
# its standard input ends; then the kernel kills all that is inside. So however the test ends,
# even by SIGKILL, nothing of the mail server stays.
set -eu
package=$1 host=$2 first=$3
shift 3
root=/run/xg-e2e
mkdir -p "$root"
mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir "$root/up" "$root/work" "$root/m"
# An overlay refuses a layer that lies inside another of its layers: so a copy, not the original.
cp -a "$package" "$root/pkg"
# A package's own /lib would hide the link /lib -> usr/lib, and no program would start.
for d in bin sbin lib; do
  [ -d "$root/pkg/$d" ] || continue
  mkdir -p "$root/pkg/usr/$d"
  cp -a "$root/pkg/$d/." "$root/pkg/usr/$d/"
  rm -rf "$root/pkg/${d:?}"
done
mount -t overlay overlay -o "lowerdir=$root/pkg:/,upperdir=$root/up,workdir=$root/work" "$root/m"
for d in dev sys tmp; do mount --rbind "/$d" "$root/m/$d"; done
mount -t proc proc "$root/m/proc"
hostname "$host"
printf '127.0.0.1 localhost %s\n' "$host" > "$root/m/etc/hosts"
# Look-ups fail at once, whatever this machine's resolver is.
rm -f "$root/m/etc/resolv.conf"
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' > "$root/m/etc/resolv.conf"
chroot "$root/m" sh -ec "$first"
(chroot "$root/m" "$@" </dev/null || true; echo "xg-e2e: ended: $*") &
read -r _ || true
