package dispatcher

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func publicGuard() *guard { return &guard{ports: []int{443}} }

func TestOnlyPublicAddressesAreConnectedTo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		address string
		allowed bool
	}{
		"a public address":            {"93.184.215.14:443", true},
		"a public IPv6 address":       {"[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443", true},
		"another port":                {"93.184.215.14:22", false},
		"loopback":                    {"127.0.0.1:443", false},
		"loopback's other addresses":  {"127.255.255.254:443", false},
		"IPv6 loopback":               {"[::1]:443", false},
		"unspecified":                 {"0.0.0.0:443", false},
		"this network":                {"0.1.2.3:443", false},
		"IPv6 unspecified":            {"[::]:443", false},
		"private 10":                  {"10.1.2.3:443", false},
		"private 172":                 {"172.31.255.255:443", false},
		"beside private 172":          {"172.32.0.1:443", true},
		"private 192":                 {"192.168.0.1:443", false},
		"shared":                      {"100.64.0.1:443", false},
		"beside shared":               {"100.128.0.1:443", true},
		"the metadata address":        {"169.254.169.254:443", false},
		"the metadata address (IPv6)": {"[fd00:ec2::254]:443", false},
		"protocol assignments":        {"192.0.0.192:443", false},
		"documentation":               {"203.0.113.7:443", false},
		"benchmarking":                {"198.19.0.1:443", false},
		"multicast":                   {"224.0.0.1:443", false},
		"broadcast":                   {"255.255.255.255:443", false},
		"reserved":                    {"250.1.1.1:443", false},
		"6to4 relay":                  {"192.88.99.1:443", false},
		"mapped loopback":             {"[::ffff:127.0.0.1]:443", false},
		"mapped public":               {"[::ffff:93.184.215.14]:443", false},
		"translated loopback":         {"[::ffff:0:127.0.0.1]:443", false},
		"not given to anybody":        {"[4000::1]:443", false},
		"compatible loopback":         {"[::127.0.0.1]:443", false},
		"NAT64 of loopback":           {"[64:ff9b::7f00:1]:443", false},
		"local NAT64":                 {"[64:ff9b:1::1]:443", false},
		"6to4 of a private address":   {"[2002:0a01:0203::1]:443", false},
		"Teredo":                      {"[2001:0:1::1]:443", false},
		"unique local":                {"[fd12:3456::1]:443", false},
		"link-local":                  {"[fe80::1]:443", false},
		"link-local with a zone":      {"[fe80::1%lo]:443", false},
		"site-local":                  {"[fec0::1]:443", false},
		"IPv6 multicast":              {"[ff02::1]:443", false},
		"IPv6 documentation":          {"[2001:db8::1]:443", false},
		"discard":                     {"[100::1]:443", false},
		"no address":                  {"example.com:443", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			network := "tcp4"
			if strings.HasPrefix(tt.address, "[") {
				network = "tcp6"
			}
			err := publicGuard().control(t.Context(), network, tt.address, nil)
			if (err == nil) != tt.allowed || err != nil && !errors.Is(err, ErrForbidden) {
				t.Errorf("got %v, want allowed: %t", err, tt.allowed)
			}
		})
	}
	if err := publicGuard().control(t.Context(), "unix", "/run/x", nil); !errors.Is(err, ErrForbidden) {
		t.Errorf("a socket of this machine: %v", err)
	}
}

func TestAnOperatorOpensRangesAtPorts(t *testing.T) {
	t.Parallel()
	var g guard
	for _, text := range []string{"10.1.0.0/16:8443", "[fd00::/8]:443", "127.0.0.0/8:*"} {
		var a Allowed
		if err := a.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		g.allow = append(g.allow, a)
	}
	for address, allowed := range map[string]bool{
		"10.1.2.3:8443": true, "10.1.2.3:443": false, "10.2.0.1:8443": false, "[fd00::1]:443": true, "127.0.0.1:9999": true,
		"[::ffff:10.1.2.3]:8443": false,
	} {
		at := netip.MustParseAddrPort(address)
		if err := g.check(at.Addr(), at.Port()); (err == nil) != allowed {
			t.Errorf("%s: got %v, want allowed: %t", address, err, allowed)
		}
	}
	for _, text := range []string{"", "10.0.0.0/8", "10.0.0.0:443", "10.0.0.0/8:0", "10.0.0.0/8:65536", "10.0.0.0/33:1", "10.0.0.0/8:-1"} {
		var a Allowed
		if err := a.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %s", text, a)
		}
	}
}

func TestURLsThatWouldReachOtherPlacesAreRefused(t *testing.T) {
	t.Parallel()
	good := []string{
		"https://example.com/hook", "https://example.com", "https://EXAMPLE.com:443/a?b=c", "https://a-b.example.co.uk./x",
		"https://93.184.215.14/x", "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/", "https://xn--bcher-kva.example/",
	}
	for _, text := range good {
		if _, err := publicGuard().checkURL(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	bad := map[string]string{
		"http":                     "http://example.com/",
		"another scheme":           "file:///etc/passwd",
		"no scheme":                "//example.com/",
		"no host":                  "https:///x",
		"opaque":                   "https:example.com",
		"a user":                   "https://user@example.com/",
		"a user that looks right":  "https://example.com@169.254.169.254/",
		"a password":               "https://a:b@example.com/",
		"a fragment":               "https://example.com/#x",
		"an empty fragment":        "https://example.com/#",
		"a backslash":              `https://example.com\@127.0.0.1/`,
		"a blank":                  "https://example.com/ x",
		"a tab":                    "https://exa\tmple.com/",
		"letters of other scripts": "https://exämple.com/",
		"another port":             "https://example.com:22/",
		"a port of letters":        "https://example.com:x/",
		"a port with zeros":        "https://example.com:0443/",
		"a colon without a port":   "https://example.com:/",
		"loopback":                 "https://127.0.0.1/",
		"loopback in decimal":      "https://2130706433/",
		"loopback in octal":        "https://0177.0.0.1/",
		"loopback in hex":          "https://0x7f.0.0.1/",
		"loopback in one hex":      "https://0x7f000001/",
		"loopback shortened":       "https://127.1/",
		"metadata":                 "https://169.254.169.254/latest/meta-data/",
		"IPv6 loopback":            "https://[::1]/",
		"mapped":                   "https://[::ffff:127.0.0.1]/",
		"mapped in hex":            "https://[::ffff:7f00:1]/",
		"a zone":                   "https://[fe80::1%25eth0]/",
		"an empty label":           "https://a..example.com/",
		"a label too long":         "https://" + strings.Repeat("a", 64) + ".com/",
		"a percent in the host":    "https://127%2e0.0.1/",
		"much too long":            "https://example.com/" + strings.Repeat("a", 2048),
	}
	for name, text := range bad {
		if u, err := publicGuard().checkURL(text); err == nil {
			t.Errorf("%s: %s was taken for %s", name, text, u)
		}
	}
}

// FuzzURLCheck looks for a URL that passes and whose host is an address that must not be reached, however it is written.
func FuzzURLCheck(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/", "https://127.0.0.1/", "https://[::ffff:127.0.0.1]:443/x", "https://0x7f.1/", "https://a@b/",
		"https://10.0.0.1:443", "https://[2002:7f00:1::]/", "https://[fe80::1%25lo]/", "https://0177.0.0.1./", "https://a%40b@c/",
		"https://[::ffff:0:7f00:1]/", "https://１２７.0.0.1/", "https://example.com.:443", "https://2130706433/", "https://example.com:443/?x#y", "HTTPS://[64:ff9b::1]/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := publicGuard().checkURL(text)
		if err != nil {
			return
		}
		if u.Scheme != "https" || u.User != nil || u.Host == "" {
			t.Fatalf("%q passed as %s", text, u)
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host {
			t.Fatalf("%q is read as %s, and that as %v", text, u, again)
		}
		addr, err := netip.ParseAddr(u.Hostname())
		if err != nil {
			if last := u.Hostname()[strings.LastIndexByte(strings.TrimSuffix(u.Hostname(), "."), '.')+1:]; last[0] >= '0' && last[0] <= '9' {
				t.Fatalf("%q: host %q looks like an address", text, u.Hostname())
			}
			return
		}
		if err := publicGuard().control(context.Background(), "tcp", netip.AddrPortFrom(addr, 443).String(), nil); err == nil {
			t.Fatalf("%q: a network of no version passed", text)
		}
		if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() || addr.Is4In6() {
			t.Fatalf("%q passed with the address %s", text, addr)
		}
	})
}
