#!/bin/sh
# Makes of a small Debian what a platform team hands over: a host with sshd, a user who
# may become root, and nothing that belongs to one host alone. mmdebstrap calls it with
# the new root directory.
set -eu
cd "$1"

# Ansible's user. The key comes with each lab, outside the home directory.
chroot . useradd --create-home --shell /bin/bash deploy
cat >etc/ssh/sshd_config.d/lab.conf <<'END'
AuthorizedKeysFile /etc/ssh/authorized_keys/%u
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
PermitRootLogin no
UseDNS no
END
# env_file: a skewed clock (LD_PRELOAD) holds for what Ansible does as root, too.
cat >etc/sudoers.d/lab <<'END'
Defaults env_file=/etc/environment
deploy ALL=(ALL) NOPASSWD: ALL
END
chmod 0440 etc/sudoers.d/lab

# Each host has these of its own.
rm -f etc/ssh/ssh_host_* etc/hostname etc/hosts etc/resolv.conf
: >etc/machine-id

# Without it, each login leaves a complaint in the journal.
: >etc/default/locale

# The journal outlives a reboot, as on a real host.
mkdir -p var/log/journal

# What has no sense without hardware, a console or a way to the internet.
for unit in console-getty.service getty@tty1.service systemd-pstore.service \
	systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer \
	dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
	ln -sf /dev/null "etc/systemd/system/$unit"
done
rm -rf var/cache/apt/*.bin var/lib/apt/lists/*
