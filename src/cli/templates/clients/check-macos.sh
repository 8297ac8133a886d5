#!/bin/sh
# Checks whether this Mac goes out by the gate, and not past it. Made by `sekisho clients macos --script`.
#
#   sh check.sh              as the person who uses the Mac
#   sh check.sh ADDRESS      tries too to reach an address outside past the gate, which must fail
#
# Exit code 0: all is as it should be; 1: something is not, and the lines say what. Nothing is changed.
set -u

gate=@gate@
host=@host@
port=@port@
@if pac@
pac=@pac@
@end@
@if ca_sha256@
ca_subject=@ca_subject@
ca_sha256=@ca_sha256@
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
is_gate() { grep -qi 'proxy-status: *sekisho'; }

# What the system's own programs and browsers are told. A line of `scutil --proxy` is like: HTTPProxy : gate.example
settings=$(scutil --proxy)
setting() { printf '%s\n' "$settings" | sed -n "s/^ *$1 : //p" | head -n 1; }
@if pac@
if [ "$(setting ProxyAutoConfigEnable)" = 1 ] && [ "$(setting ProxyAutoConfigURLString)" = "$pac" ]; then
    good "the system asks $pac which proxy to take"
elif [ "$(setting HTTPSEnable)" = 1 ] && [ "$(setting HTTPSProxy):$(setting HTTPSPort)" = "$host:$port" ]; then
    good 'the gate is the proxy of the system'
else
    wrong "the system neither asks $pac nor has the gate as its proxy"
fi
@else@
for kind in HTTP HTTPS; do
    if [ "$(setting ${kind}Enable)" = 1 ] && [ "$(setting ${kind}Proxy):$(setting ${kind}Port)" = "$host:$port" ]; then
        good "the gate is the proxy of the system for $kind"
    else
        wrong "the gate is not the proxy of the system for $kind"
    fi
done
@end@
if [ "$(setting ProxyAutoDiscoveryEnable)" = 1 ]; then
    wrong 'the system looks for a proxy by itself (WPAD): who has the name wpad could be its proxy'
else
    good 'the system does not look for a proxy by itself'
fi

for name in http_proxy https_proxy; do
    if [ $name = http_proxy ]; then value=${http_proxy:-}; else value=${https_proxy:-${HTTPS_PROXY:-}}; fi
    value=$(printf '%s' "$value" | sed -e 's|^[a-zA-Z]*://||' -e 's|/.*$||' -e 's|^.*@||')
    if [ -z "$value" ]; then
        note "$name is not set: programs of the terminal (curl, git, brew) go out by themselves"
    elif [ "$value" = "$gate" ]; then
        good "$name is the gate"
    else
        wrong "$name is $value, and not the gate, $gate"
    fi
done

if curl -sS -m 10 -o /dev/null -D - --noproxy '' -x "http://$gate" "$asked" 2>/dev/null | is_gate; then
    good "the gate answers at $gate"
else
    wrong "nothing that is a gate answers at $gate"
fi
@if pac@
case $(curl -sS -m 10 --noproxy '*' "$pac" 2>/dev/null) in
*FindProxyForURL*) good "the gate serves $pac" ;;
*) wrong "$pac is not served" ;;
esac
@end@
@if ca_sha256@
if security find-certificate -a -Z /Library/Keychains/System.keychain 2>/dev/null | grep -qi "$ca_sha256"; then
    good 'the authority of the gate is in the keychain of the system'
else
    wrong "the authority of the gate ($ca_subject) is not in the keychain of the system: pages that it looks into show errors"
fi
@end@

if [ $# -gt 0 ]; then
    # An address of IPv6 stands in brackets.
    case $1 in
    *:*:*) outside="[${1#[}" && outside="${outside%]}]" ;;
    *) outside=$1 ;;
    esac
    for way in "http://$outside/" "https://$outside/"; do
        curl -sS -m 5 -o /dev/null --noproxy '*' "$way" 2>/dev/null
        # 7 and 28 where nothing was reached; 3 and 6 of what is no address. Anything else means that something was.
        case $? in
        7 | 28) good "$way is not reached past the gate" ;;
        3 | 6) wrong "$way cannot be tried: give an address" ;;
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
