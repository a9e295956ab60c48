package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/throughline/throughline/schema/webhook"
)

// dialTimeout bounds the look-up of a name and the connection together.
const dialTimeout = 5 * time.Second

// ErrForbidden says that an address is one that webhooks must not reach.
var ErrForbidden = errors.New("address is not allowed for webhooks")

// guard decides which addresses deliveries may reach. Whoever may register an endpoint could otherwise have this process
// ask for what only this process can reach: the cloud's metadata, a database, an internal service.
//
// The decision is made on the address that is connected to, after the look-up of its name, so that a name that changes its
// address between a check and the connection gains nothing. URLs are checked before as well, to say early what would fail.
type guard struct {
	ports []int
	// http says that plain http is allowed to the addresses of allow, which is for developers' machines.
	http  bool
	allow []Allowed
	// resolver looks names up; nil means the system's.
	resolver *net.Resolver
}

// Allowed is a range of addresses that an operator has opened, at one port or, with port 0, at all of them.
type Allowed struct {
	Prefix netip.Prefix
	Port   uint16
}

// UnmarshalText reads CIDR:port, such as 10.1.0.0/16:8443 or [fd00::/8]:443; * is any port.
func (a *Allowed) UnmarshalText(text []byte) error {
	s := string(text)
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return fmt.Errorf("allowed range %q: want CIDR:port", s)
	}
	prefix, err := netip.ParsePrefix(strings.TrimSuffix(strings.TrimPrefix(s[:i], "["), "]"))
	if err != nil {
		return fmt.Errorf("allowed range %q: %w", s, err)
	}
	a.Prefix = prefix.Masked()
	if s[i+1:] == "*" {
		a.Port = 0
		return nil
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("allowed range %q: the port must be 1 to 65535, or *", s)
	}
	a.Port = uint16(port)
	return nil
}

// String writes what UnmarshalText reads.
func (a Allowed) String() string {
	port := "*"
	if a.Port != 0 {
		port = strconv.Itoa(int(a.Port))
	}
	return "[" + a.Prefix.String() + "]:" + port
}

// refusedRanges are what no address of a delivery lies in: everything that the registries of special-purpose addresses
// (RFC 6890 and its updates) keep from the public, and the ranges that hide an IPv4 address in an IPv6 one, because what is
// behind those is decided elsewhere.
func refusedRanges() []netip.Prefix {
	texts := []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32",
		"2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	}
	ranges := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		ranges[i] = netip.MustParsePrefix(text)
	}
	return ranges
}

// publicIPv6 is where all public addresses of IPv6 are (RFC 4291 and the registry of IANA). What lies elsewhere is not given
// to anybody, or has a meaning of its own, such as ::ffff:0:127.0.0.1 to a translator.
func publicIPv6() netip.Prefix { return netip.MustParsePrefix("2000::/3") }

// check says why an address and port must not be reached, or nil. A mapped address is refused as it is: a resolver has no
// reason to give one.
func (g *guard) check(addr netip.Addr, port uint16) error {
	plain := addr.WithZone("")
	for _, a := range g.allow {
		if a.Prefix.Contains(plain) && (a.Port == 0 || a.Port == port) {
			return nil
		}
	}
	switch {
	case addr.Zone() != "":
		return fmt.Errorf("%w: %s has a zone", ErrForbidden, addr)
	case !addr.IsGlobalUnicast(), addr.IsPrivate(), addr.Is6() && !publicIPv6().Contains(plain), slices.ContainsFunc(refusedRanges(), func(p netip.Prefix) bool { return p.Contains(plain) }):
		return fmt.Errorf("%w: %s is not a public address", ErrForbidden, addr)
	case !slices.Contains(g.ports, int(port)):
		return fmt.Errorf("%w: port %d", ErrForbidden, port)
	default:
		return nil
	}
}

// control is a net.Dialer's ControlContext: it sees every address right before it is connected to.
func (g *guard) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: network %s", ErrForbidden, network)
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s cannot be read", ErrForbidden, address)
	}
	return g.check(at.Addr(), at.Port())
}

// dialer connects to allowed addresses only.
func (g *guard) dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, ControlContext: g.control, Resolver: g.resolver}
}

// checkURL says for a person why an endpoint cannot have a URL, or gives it parsed. Names are not looked up: what they
// stand for is decided when a delivery connects.
func (g *guard) checkURL(text string) (*url.URL, error) {
	if len(text) > webhook.MaxURLLength {
		return nil, fmt.Errorf("has %d bytes; at most %d are allowed", len(text), webhook.MaxURLLength)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return nil, errors.New("must be printable ASCII without blanks and backslashes; percent-encode the rest")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !g.http):
		return nil, errors.New("must begin with https://")
	case u.Opaque != "" || u.Host == "":
		return nil, errors.New("must name a host after https://")
	case u.User != nil:
		return nil, errors.New("must not contain a user or a password: use authToken or headers")
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return nil, errors.New("must not have a fragment")
	}
	port, err := portOf(u)
	if err != nil {
		return nil, err
	}
	return u, g.checkHost(u.Hostname(), port)
}

func portOf(u *url.URL) (uint16, error) {
	text := u.Port()
	switch {
	case text == "" && strings.HasSuffix(u.Host, ":"):
		return 0, errors.New("has a colon without a port")
	case text == "" && u.Scheme == "http":
		return 80, nil
	case text == "":
		return 443, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || strconv.FormatUint(port, 10) != text {
		return 0, errors.New("has a port that is none")
	}
	return uint16(port), nil
}

// checkHost checks a literal address as if it were connected to. A name must be one that no resolver reads as an address:
// old ones take 2130706433, 0x7f.1 and 0177.0.0.1 for 127.0.0.1.
func (g *guard) checkHost(host string, port uint16) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		return g.check(addr, port)
	}
	if strings.Contains(host, ":") {
		return errors.New("has a host that is neither a name nor an address")
	}
	name := strings.TrimSuffix(host, ".")
	labels := strings.Split(name, ".")
	if len(name) > 253 || slices.ContainsFunc(labels, func(l string) bool { return !hostLabel(l) }) {
		return errors.New("has a host that is not a name")
	}
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		return errors.New("has a host of numbers that is not an address in its usual form")
	}
	if g.named(port) {
		return nil
	}
	return fmt.Errorf("has port %d, which is not allowed", port)
}

// named says whether a name may stand with a port: what it resolves to may lie in a range that is opened at it.
func (g *guard) named(port uint16) bool {
	return slices.Contains(g.ports, int(port)) ||
		slices.ContainsFunc(g.allow, func(a Allowed) bool { return a.Port == 0 || a.Port == port })
}

func hostLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(l, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}
