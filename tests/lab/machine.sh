#!/bin/sh
# Runs one host of the lab: a cable, a disk, and systemd for as long as it reboots.
#
#   machine.sh LAB HOST ADDRESS/PREFIX GROUP HOME BASE
#
# It is started in mount and network namespaces of its own, and all it makes is in them:
# when the host's last process ends, its mounts, its loop device and its cable are gone
# with it, however it ended.
set -eu
lab=$1 host=$2 address=$3 group=$4 home=$5 base=$6

# Whoever waits for the host to come up need not wait for one that will not.
# (A path from here: /tmp and /run will be others below.)
cd "$home"
trap 'echo "exit $?" >ended' EXIT

echo $$ >"$group/shell/cgroup.procs"

# The cable. A predecessor's, after a power cut, may not have been cleared away yet. The
# hardware address stays the host's: others remember it for half a minute.
# shellcheck disable=SC2046 # four numbers
hardware=$(printf '02:00:%02x:%02x:%02x:%02x' $(echo "${address%/*}" | tr . ' '))
ip -n "$lab" link delete "v-$host" 2>/dev/null || :
ip link add eth0 address "$hardware" type veth peer name "v-$host" netns "$lab"
ip link set lo up
ip address add "$address" dev eth0
ip link set eth0 up
ip -n "$lab" link set "v-$host" master lab up

# What nspawn leaves behind in /run and /tmp when it is killed stays in these.
mount -t tmpfs -o mode=755 lab /run
mkdir /run/disk /run/root
if [ -e "$home/disk.img" ]; then
    mount -o loop,commit=30 "$home/disk.img" /run/disk
else
    mount --bind "$home/disk" /run/disk
fi
mkdir -p /run/disk/upper /run/disk/work
mount -t overlay lab /run/root \
    -o "lowerdir=$home/layer:$base,upperdir=/run/disk/upper,workdir=/run/disk/work"
mount -t tmpfs lab /tmp

# nspawn makes the host's control group below the one it is started in. bpf is for
# IPAddressDeny=, CAP_NET_ADMIN for PrivateNetwork= and for firewalls on the host. The
# limit on open files is a real host's; this shell's may be lower.
boot() {
    sh -c 'echo $$ >"$0" && exec "$@"' "$group/machine/cgroup.procs" \
        systemd-nspawn --quiet --boot --register=no --keep-unit \
        --directory=/run/root --machine="$host" --hostname="$host" \
        --network-namespace-path=/proc/self/ns/net --capability=CAP_NET_ADMIN \
        --system-call-filter=bpf --rlimit=RLIMIT_NOFILE=1024:524288 \
        --kill-signal=SIGRTMIN+3 --console=read-only \
        --resolv-conf=off --timezone=off --link-journal=no
}
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
while :; do
    status=0
    boot || status=$?
    [ "$status" = 133 ] || exit "$status" # 133: the host asks to be started again
done
