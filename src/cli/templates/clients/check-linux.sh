#!/bin/sh
# Checks whether this machine goes out by the gate, and not past it. Made by `sekisho clients linux --script`.
#
#   sh check.sh              as the person, or in the service, that is to use the gate
#   sh check.sh ADDRESS      tries too to reach an address outside past the gate, which must fail
#
# Exit code 0: all is as it should be; 1: something is not, and the lines say what; 2: it could not be checked.
# Nothing is changed. It needs curl or wget.
set -u

gate=@gate@
@if pac@
pac=@pac@
@end@
@if ca_line@
ca_subject=@ca_subject@
ca_line=@ca_line@
@end@
@if contact@
contact=@contact@
@end@
# Nobody has this name: only the gate itself can answer for it.
asked=http://check.sekisho.invalid/
wrong=0

plain() { printf '%s' "$1" | tr -d '[:cntrl:]'; }
good() { printf 'ok     %s\n' "$(plain "$1")"; }
note() { printf 'note   %s\n' "$(plain "$1")"; }
wrong() {
    printf 'WRONG  %s\n' "$(plain "$1")"
    wrong=$((wrong + 1))
}

if command -v curl >/dev/null; then
    tool=curl
elif command -v wget >/dev/null; then
    tool=wget
else
    echo 'sekisho check: it needs curl or wget' >&2
    exit 2
fi

# The heads of what answers, by the gate whatever the environment says, or as the environment says.
by_gate() {
    if [ $tool = curl ]; then
        curl -sS -m 10 -o /dev/null -D - --noproxy '' -x "http://$gate" "$asked" 2>/dev/null
    else
        no_proxy='' wget -q -S -O /dev/null -T 10 -t 1 -e use_proxy=yes -e http_proxy="http://$gate" "$asked" 2>&1
    fi
}
by_environment() {
    if [ $tool = curl ]; then
        curl -sS -m 10 -o /dev/null -D - "$asked" 2>/dev/null
    else
        wget -q -S -O /dev/null -T 10 -t 1 "$asked" 2>&1
    fi
}
past_it() {
    if [ $tool = curl ]; then
        curl -sS -m 5 -o /dev/null --noproxy '*' "$1" 2>/dev/null
    else
        wget -q -O /dev/null -T 5 -t 1 --no-proxy "$1" 2>/dev/null
    fi
}
is_gate() { grep -qi 'proxy-status: *sekisho'; }

# What stands for the gate in a setting: host and port, without a scheme, a user and what follows.
place() {
    printf '%s' "$1" | sed -e 's|^[a-zA-Z]*://||' -e 's|/.*$||' -e 's|^.*@||'
}

for name in http_proxy https_proxy; do
    if [ $name = http_proxy ]; then
        # Capitals of this one are left alone by curl and others, as a web server could set them.
        value=${http_proxy:-}
    else
        value=${https_proxy:-${HTTPS_PROXY:-}}
    fi
    if [ -z "$value" ]; then
        wrong "$name is not set: programs that read the environment go out by themselves"
    elif [ "$(place "$value")" = "$gate" ]; then
        good "$name is the gate"
    else
        wrong "$name is $(place "$value"), and not the gate, $gate"
    fi
done
case ",${no_proxy:-${NO_PROXY:-}}," in
*,'*',* | *,.,*) wrong 'no_proxy leaves everything out' ;;
*) good 'no_proxy leaves something to the gate' ;;
esac

if by_gate | is_gate; then
    good "the gate answers at $gate"
else
    wrong "nothing that is a gate answers at $gate"
fi
if by_environment | is_gate; then
    good "$tool goes out by the gate"
else
    wrong "$tool does not go out by the gate"
fi
@if pac@
if [ $tool = curl ]; then
    fetched=$(curl -sS -m 10 --noproxy '*' "$pac" 2>/dev/null)
else
    fetched=$(wget -q -O - -T 10 -t 1 --no-proxy "$pac" 2>/dev/null)
fi
case $fetched in
*FindProxyForURL*) good "the gate serves $pac" ;;
*) wrong "$pac is not served" ;;
esac
@end@
if ! command -v getent >/dev/null; then
    note 'without getent nobody here can say where the name wpad leads'
elif getent hosts wpad >/dev/null; then
    wrong "the name wpad leads to $(getent hosts wpad | head -n 1 | cut -d ' ' -f 1): who has it could be everybody's proxy"
else
    good 'the name wpad leads nowhere'
fi

if command -v apt-config >/dev/null; then
    set_for_apt=$(apt-config dump Acquire::http::Proxy 2>/dev/null | sed -n 's/^Acquire::http::Proxy "\(.*\)";$/\1/p')
    if [ -z "$set_for_apt" ]; then
        note 'apt has no proxy of its own: it takes the one of the environment, which sudo may leave out'
    elif [ "$(place "$set_for_apt")" = "$gate" ]; then
        good 'apt goes out by the gate'
    else
        wrong "the proxy of apt is $(place "$set_for_apt")"
    fi
fi
if command -v git >/dev/null; then
    set_for_git=$(git config --get http.proxy 2>/dev/null)
    if [ -z "$set_for_git" ] || [ "$(place "$set_for_git")" = "$gate" ]; then
        good 'git goes out by the gate, or as the environment says'
    else
        wrong "the proxy of git is $(place "$set_for_git")"
    fi
fi
@if ca_line@

found=
for bundle in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
    /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    if [ -n "$bundle" ] && [ -r "$bundle" ] && grep -qF -- "$ca_line" "$bundle"; then
        found=$bundle
        break
    fi
done
if [ -n "$found" ]; then
    good "the authority of the gate is trusted: $found"
else
    wrong "the authority of the gate ($ca_subject) is not trusted here: pages that it looks into show errors"
fi
@end@

if [ $# -gt 0 ]; then
    # An address of IPv6 stands in brackets.
    case $1 in
    *:*:*) outside="[${1#[}" && outside="${outside%]}]" ;;
    *) outside=$1 ;;
    esac
    for way in "http://$outside/" "https://$outside/"; do
        # curl says 7 and 28 where nothing was reached, wget 4, and 3, 6 and 2 of what is no address. Anything else means that
        # something was.
        past_it "$way"
        code=$?
        case $tool$code in
        curl7 | curl28 | wget4) good "$way is not reached past the gate" ;;
        curl3 | curl6 | wget2) wrong "$way cannot be tried: give an address" ;;
        *) wrong "$way is reached past the gate" ;;
        esac
    done
fi

if [ "$wrong" -gt 0 ]; then
    echo "$wrong wrong"
@if contact@
    printf '%s\n' "$contact"
@end@
    exit 1
fi
echo 'all is as it should be'
