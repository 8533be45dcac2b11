# What a builder of a base image does with itself: fetches the bundle, checks it, lays the agent down, forgets what
# only this machine is, and powers off. `cargo xtask base-image` puts `#!/bin/sh` and what is particular before it and
# hands all of it over as user data, so nothing secret may stand here: whoever may describe the instance can read it.
#
# REKINDLE_ROOT is a folder to take in place of `/`. Then nothing is powered off, and it runs where it was started.
set -eu
umask 022
root=${REKINDLE_ROOT:-}
# On the disk and not in /run: some systems mount that one without the right to run programs.
work=$root/var/lib/rekindle-base-image
doing="starting"

say() {
    echo "rekindle-base-image: $*"
    [ -n "$root" ] || echo "rekindle-base-image: $*" >/dev/console 2>/dev/null || true
}

# Whoever waits for this builder reads the answer; a builder that stopped without one is not made into an image.
answer() {
    printf '%s\n' "$1" >"$work/answer"
    aws s3api put-object --region "$REKINDLE_REGION" --bucket "$REKINDLE_BUCKET" \
        --key "$REKINDLE_FOLDER/answer" --body "$work/answer" >/dev/null
}

# Also when it failed: whoever started this builder may be gone, and nobody else would stop it.
power_off() {
    say "powering off"
    [ -n "$root" ] || { sync; systemctl poweroff; }
}

give_up() {
    reason=$(tail -n 1 "$work/said" 2>/dev/null | cut -c 1-400)
    say "failed while $doing: $reason"
    answer "failed while $doing: $reason" || true
    power_off
}

# cloud-init runs this script, and writes its state when the script has ended: what is wiped has to be wiped after that.
go_on_after_cloud_init() {
    install -m 700 "$0" /run/rekindle-base-image
    systemd-run --no-block --unit=rekindle-base-image sh /run/rekindle-base-image build
}

fetch() {
    doing="fetching the bundle"
    aws s3api get-object --region "$REKINDLE_REGION" --bucket "$REKINDLE_BUCKET" \
        --key "$REKINDLE_FOLDER/bundle.tar" "$work/bundle.tar" >"$work/said" 2>&1
    doing="checking the bundle"
    echo "$REKINDLE_SHA256  $work/bundle.tar" | sha256sum --check - >"$work/said" 2>&1
    doing="unpacking the bundle"
    mkdir "$work/bundle"
    tar --extract --no-same-owner --file "$work/bundle.tar" --directory "$work/bundle" >"$work/said" 2>&1
}

lay_down() {
    doing="laying the agent down"
    set -- --config "$work/bundle/agent.toml" --trusted-keys "$work/bundle/trusted-keys" \
        --recipes "$work/bundle/recipes"
    [ ! -f "$work/bundle/identity.kms" ] || set -- "$@" --wrapped-identity "$work/bundle/identity.kms"
    "$work/bundle/rekindle-agent" --root "${root:-/}" install "$@" >"$work/said" 2>&1
    doing="seeing that user data are ignored from now on"
    grep -q '^allow_userdata: false' "$root/etc/cloud/cloud.cfg.d/99-rekindle.cfg"
}

# Instances of the image are machines of their own: each makes its id and its host keys at its first start.
wipe() {
    doing="wiping what only this machine is"
    rm -rf "$root"/var/lib/cloud/* "$root"/var/log/journal/* "$root"/var/lib/amazon/ssm/* \
        "$root"/var/lib/dhcp/* "$root"/var/lib/NetworkManager/* "$root"/tmp/* "$root"/var/tmp/*
    rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/lib/systemd/random-seed "$root"/var/lib/systemd/credential.secret
    cut -d: -f6 "$root/etc/passwd" | while read -r home; do
        rm -f "$root$home/.ssh/authorized_keys" "$root$home"/.*_history
    done
    # Another place of the same id, on some systems a copy; it is made again from the first.
    rm -f "$root/var/lib/dbus/machine-id"
    # Empty and not missing: so the system knows that it has to make one.
    : >"$root/etc/machine-id"
    find "$root/var/log" -type f -delete
}

finish() {
    answer "built $REKINDLE_SHA256"
    trap - EXIT
    rm -rf "$work"
    power_off
}

main() {
    rm -rf "$work"
    mkdir -p "$work"
    trap give_up EXIT
    if [ -z "$root" ] && [ "${1:-}" != build ]; then
        doing="going on after cloud-init"
        go_on_after_cloud_init
        trap - EXIT
        exit 0
    fi
    [ -n "$root" ] || cloud-init status --wait >/dev/null 2>&1 || true
    fetch
    lay_down
    wipe
    finish
}

main "$@"
