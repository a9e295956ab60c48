package dispatcher

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/throughline/throughline/schema/webhook"
)

// names is a server of names on this machine that gives other addresses each time it is asked.
type names struct {
	mu sync.Mutex
	// answers are the addresses for each look-up; the last stay.
	answers [][]netip.Addr
	asked   int
}

// resolver starts the server, and gives a resolver that asks it alone.
func (n *names) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply, err := n.reply(buf[:size]); err == nil {
				_, _ = conn.WriteTo(reply, from) // who asked asks again
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	at := conn.LocalAddr().String()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp4", at)
	}}
}

// reply answers a question for A or AAAA. Both questions of a look-up get addresses of the same answer.
func (n *names) reply(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	q := m.Questions[0]
	n.mu.Lock()
	addrs := n.answers[min(n.asked/2, len(n.answers)-1)]
	n.asked++
	n.mu.Unlock()
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	for _, addr := range addrs {
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET}
		switch {
		case q.Type == dnsmessage.TypeA && addr.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case q.Type == dnsmessage.TypeAAAA && addr.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return m.Pack()
}

// serverAt is a receiver at an address of this machine that counts its requests.
func serverAt(t *testing.T, address string) (port uint16, reached *atomic.Int32) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	reached = &atomic.Int32{}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		// The next attempt looks the name up again.
		w.Header().Set("Connection", "close")
	})}}
	server.Start()
	t.Cleanup(server.Close)
	return netip.MustParseAddrPort(l.Addr().String()).Port(), reached
}

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// TestANameThatIsReboundIsNotFollowedToWhereItMayNotLead has 127.0.0.2 stand for a public address, which an operator opened,
// and 127.0.0.1 for what only this process can reach. Both listen at the same port.
func TestANameThatIsReboundIsNotFollowedToWhereItMayNotLead(t *testing.T) {
	t.Parallel()
	port, good := serverAt(t, "127.0.0.2:0")
	_, bad := serverAt(t, "127.0.0.1:"+strconv.Itoa(int(port)))
	for name, tt := range map[string]struct {
		answers [][]netip.Addr
		want    []webhook.Outcome
	}{
		"another address at the second look-up": {
			[][]netip.Addr{addrs("127.0.0.2"), addrs("127.0.0.1")}, []webhook.Outcome{webhook.OutcomeSuccess, webhook.OutcomeForbidden},
		},
		"a forbidden address before an allowed one": {[][]netip.Addr{addrs("127.0.0.1", "127.0.0.2")}, []webhook.Outcome{webhook.OutcomeSuccess}},
		"forbidden addresses of both versions":      {[][]netip.Addr{addrs("127.0.0.1", "::1")}, []webhook.Outcome{webhook.OutcomeForbidden}},
		"a mapped address":                          {[][]netip.Addr{addrs("::ffff:127.0.0.1")}, []webhook.Outcome{webhook.OutcomeForbidden}},
		"an address behind NAT64":                   {[][]netip.Addr{addrs("64:ff9b::7f00:1")}, []webhook.Outcome{webhook.OutcomeForbidden}},
		"an address of 6to4":                        {[][]netip.Addr{addrs("2002:7f00:1::1")}, []webhook.Outcome{webhook.OutcomeForbidden}},
		"the metadata address":                      {[][]netip.Addr{addrs("169.254.169.254")}, []webhook.Outcome{webhook.OutcomeForbidden}},
		"the address that stands for all":           {[][]netip.Addr{addrs("0.0.0.0")}, []webhook.Outcome{webhook.OutcomeForbidden}},
	} {
		n := &names{answers: tt.answers}
		p := testPoster(t, func(_ *Config, g *guard) {
			g.allow = []Allowed{{Prefix: netip.MustParsePrefix("127.0.0.2/32"), Port: port}}
			g.resolver = n.resolver(t)
		}, nil)
		before := good.Load()
		successes := int32(0)
		for i, want := range tt.want {
			res := p.post(t.Context(), privateOf("http://rebound.test.:"+strconv.Itoa(int(port))+"/hook"), testDelivery(), []byte("{}"))
			if res.attempt.Outcome != want {
				t.Errorf("%s, attempt %d: got %s (%s), want %s", name, i+1, res.attempt.Outcome, res.attempt.Error, want)
			}
			if want == webhook.OutcomeSuccess {
				successes++
			}
		}
		if got := good.Load() - before; got != successes {
			t.Errorf("%s: the allowed address was reached %d times, want %d", name, got, successes)
		}
	}
	if bad.Load() > 0 {
		t.Errorf("what must not be reached was reached %d times", bad.Load())
	}
}

func TestNoRedirectIsFollowedWhateverItsStatusAndItsTarget(t *testing.T) {
	t.Parallel()
	port, reached := serverAt(t, "127.0.0.1:0")
	there := "http://127.0.0.1:" + strconv.Itoa(int(port)) + "/"
	for _, status := range []int{300, 301, 302, 303, 304, 305, 307, 308} {
		for _, to := range []string{there, "//127.0.0.1:" + strconv.Itoa(int(port)) + "/", "http://169.254.169.254/", "file:///etc/passwd", "/again"} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/again" {
					reached.Add(1)
				}
				w.Header().Set("Location", to)
				w.Header().Set("Refresh", "0; url="+there)
				w.WriteHeader(status)
			}))
			res := testPoster(t, nil, nil).post(t.Context(), privateOf(server.URL), testDelivery(), []byte("{}"))
			if res.attempt.Outcome != webhook.OutcomeRedirect || res.attempt.StatusCode != status {
				t.Errorf("%d to %s: %s, %d", status, to, res.attempt.Outcome, res.attempt.StatusCode)
			}
			server.Close()
		}
	}
	if reached.Load() > 0 {
		t.Errorf("%d redirects were followed", reached.Load())
	}
}

func TestARangeIsOpenAtItsPortAlone(t *testing.T) {
	t.Parallel()
	open, reached := serverAt(t, "127.0.0.1:0")
	other, unreached := serverAt(t, "127.0.0.1:0")
	p := testPoster(t, func(_ *Config, g *guard) {
		g.allow = []Allowed{{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Port: open}}
	}, nil)
	for port, want := range map[uint16]webhook.Outcome{open: webhook.OutcomeSuccess, other: webhook.OutcomeForbidden} {
		res := p.post(t.Context(), privateOf("http://127.0.0.1:"+strconv.Itoa(int(port))), testDelivery(), []byte("{}"))
		if res.attempt.Outcome != want {
			t.Errorf("port %d: %s (%s), want %s", port, res.attempt.Outcome, res.attempt.Error, want)
		}
	}
	if reached.Load() != 1 || unreached.Load() != 0 {
		t.Errorf("reached %d and %d times", reached.Load(), unreached.Load())
	}
}

// hiddenHosts write an address that must not be reached in the ways that some resolver, parser or router reads.
func hiddenHosts() []string {
	return []string{
		// Numbers of other bases and lengths.
		"0", "127.1", "127.0.1", "127.0.0.01", "0127.0.0.1", "0000127.0.0.1", "017700000001", "0177.0.0.01", "0x7F000001", "0x7f.0x0.0x0.0x1",
		"0X7f.1", "2130706433", "3232235521", "169.254.43518", "0251.0376.0251.0376", "0xa9fea9fe", "2852039166", "1.2.3.4.5", "256.256.256.256", "4294967296",
		// Dots at the end, and too many of them.
		"127.0.0.1.", "2130706433.", "0x7f.1.", "example.com..", ".", "..", ".example.com", "example..com",
		// IPv6, and IPv4 within it.
		"[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a9fe:a9fe]", "[0:0:0:0:0:ffff:7f00:1]",
		"[::127.0.0.1]", "[::7f00:1]", "[::ffff:0:7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]",
		"[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:7f00:1::]", "[fd00:ec2::254]", "[fe80::1]", "[fe80::a9fe:a9fe]", "[fec0::1]", "[ff02::1]",
		// Zones, and what looks like one.
		"[fe80::1%25lo]", "[fe80::1%25eth0]", "[::1%25lo]", "[2606:2800:21f:cb07:6820:80da:af6b:8b2c%25lo]", "[fe80::1%lo]", "example.com%25lo",
		// Brackets that are not there, or too many.
		"::1", "[::1", "::1]", "[[::1]]", "[127.0.0.1]", "[example.com]", "[]",
		// Users, and what some parsers take for one.
		"example.com@127.0.0.1", "example.com:443@127.0.0.1", "@127.0.0.1", ":@example.com", "a:b@example.com", "example.com%40127.0.0.1",
		"example.com;@127.0.0.1", "example.com&@127.0.0.1", "[::1]@example.com", `example.com\@127.0.0.1`, `127.0.0.1\.example.com`,
		"127.0.0.1#@example.com", "127.0.0.1?@example.com", "127.0.0.1/@example.com", "127.0.0.1 example.com", "127.0.0.1\t.example.com",
		"127.0.0.1\r\nHost:example.com", "127.0.0.1\x00.example.com", "127.0.0.1%00.example.com", "127.0.0.1%2e", "%31%32%37.0.0.1", "%6cocalhost",
		// Letters that are mapped to others, and other dots.
		"１２７.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "127．0．0．1", "ⓔxample.com", "example。com", "exämple.com", "lo\u00adcalhost", "localhost\u200b",
		// Ports that are others, or none.
		"example.com:22", "example.com:0", "example.com:00443", "example.com:+443", "example.com:4_43", "example.com:65979", "example.com:443:443",
		"example.com:", "example.com:443x", "example.com:-1", "example.com:４４３",
	}
}

func TestNoWayOfWritingAForbiddenHostIsTaken(t *testing.T) {
	t.Parallel()
	for _, host := range hiddenHosts() {
		for _, text := range []string{"https://" + host + "/hook", "https://" + host, "HTTPS://" + strings.ToUpper(host) + "/hook"} {
			if u, err := publicGuard().checkURL(text); err == nil {
				t.Errorf("%q was taken for the host %q", text, u.Host)
			}
		}
	}
}

// FuzzAddressCheck looks for an address that passes although it is not public, or is an IPv4 address in another form.
func FuzzAddressCheck(f *testing.F) {
	for _, text := range []string{
		"127.0.0.1", "8.8.8.8", "::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2001:0:808:808::", "2606:2800:21f::1",
		"169.254.169.254", "fd00:ec2::254", "fe80::1", "100.64.0.1", "::8.8.8.8", "3fff::1", "5f00::1",
	} {
		f.Add(netip.MustParseAddr(text).AsSlice(), uint16(443))
	}
	f.Add(netip.MustParseAddr("8.8.8.8").AsSlice(), uint16(22))
	f.Fuzz(func(t *testing.T, raw []byte, port uint16) {
		addr, ok := netip.AddrFromSlice(raw)
		if !ok || publicGuard().check(addr, port) != nil {
			return
		}
		if port != 443 || !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() || addr.Is4In6() || addr.IsLinkLocalUnicast() {
			t.Fatalf("%s passed at port %d", addr, port)
		}
		if addr.Is6() && raw[0]>>5 != 1 {
			t.Fatalf("%s passed, which is not in 2000::/3, where all public addresses are", addr)
		}
		if addr.Is6() && raw[0] == 0x20 && raw[1] == 2 {
			t.Fatalf("%s passed, which is an IPv4 address", addr)
		}
		if publicGuard().check(addr.WithZone("lo"), port) == nil && addr.Is6() {
			t.Fatalf("%s passed with a zone", addr)
		}
	})
}

// FuzzAllowedRange looks for a range that is read and not written as it was meant.
func FuzzAllowedRange(f *testing.F) {
	for _, text := range []string{"10.0.0.0/8:443", "[fd00::/8]:443", "127.0.0.1/32:*", "fd00::/8:443", "[10.0.0.0/8]:*", "0.0.0.0/0:1", "::/0:*", "[::1%lo/128]:1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var a, again Allowed
		if a.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(a.String())); err != nil || a != again {
			t.Fatalf("%q is %s, and that is %s: %v", text, a, again, err)
		}
	})
}
