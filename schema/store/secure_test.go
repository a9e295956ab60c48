package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/throughline/throughline/schema/problem"
	"github.com/throughline/throughline/schema/schematest"
	"github.com/throughline/throughline/schema/store"
	"github.com/throughline/throughline/schema/table"
	"github.com/throughline/throughline/schema/tlsdial"
)

func TestTablesAreMadeAndReadThroughTLS(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	authority := schematest.NewAuthority(t, "clickhouse")
	mine := authority.Issue(t, "client", time.Now().Add(time.Hour))
	front := schematest.TLSFront(t, db.Addr, authority.Issue(t, "server", time.Now().Add(time.Hour)), authority)
	c := store.Config{
		Addr: front, Database: db.Database, User: db.User, Password: db.Password,
		TLS: tlsdial.Config{Enabled: true, CAFile: authority.File, CertFile: mine.CertFile, KeyFile: mine.KeyFile},
	}
	if err := store.CreateDatabase(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	conn := open(t, c, store.ReadWrite)
	if _, err := migrate(t, conn, table.Migrations()); err != nil {
		t.Fatal(err)
	}
	c.User, c.Password = db.ReadUser, db.ReadPassword
	var rows uint64
	if err := open(t, c, store.ReadOnly).QueryRow(t.Context(), "SELECT count() FROM timeline").Scan(&rows); err != nil {
		t.Error(err)
	}
}

func TestAServerThatDoesNotTrustUsOrIsNotTrustedStops(t *testing.T) {
	t.Parallel()
	db := schematest.ClickHouse(t)
	authority, stranger := schematest.NewAuthority(t, "clickhouse"), schematest.NewAuthority(t, "stranger")
	good := authority.Issue(t, "server", time.Now().Add(time.Hour))
	front := schematest.TLSFront(t, db.Addr, good, nil)
	mutual := schematest.TLSFront(t, db.Addr, good, authority)
	expired := schematest.TLSFront(t, db.Addr, authority.Issue(t, "expired", time.Now().Add(-time.Hour)), nil)
	trusting := tlsdial.Config{Enabled: true, CAFile: authority.File}
	for name, at := range map[string]struct {
		addr, password string
		secured        tlsdial.Config
		want           string
	}{
		"a wrong password":         {front, "another-s3cret", trusting, "Authentication failed"},
		"another authority":        {front, db.Password, tlsdial.Config{Enabled: true, CAFile: stranger.File}, "signed by nobody in the CA file"},
		"an expired certificate":   {expired, db.Password, trusting, "the server's certificate is valid from"},
		"no certificate of ours":   {mutual, db.Password, trusting, "wants a certificate of this process"},
		"plaintext to a TLS port":  {front, db.Password, tlsdial.Config{}, "the server hangs up"},
		"TLS to a port without it": {db.Addr, db.Password, trusting, "does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := store.Open(t.Context(), store.Config{
				Addr: at.addr, Database: db.Database, User: db.User, Password: at.password, TLS: at.secured,
			}, store.ReadWrite)
			// A server that hangs up could be one that is starting, so it is for its caller to give up.
			stops := store.Classify(err) == problem.Stop || errors.Is(err, tlsdial.ErrHungUp)
			if err == nil || !stops || !strings.Contains(err.Error(), at.want) {
				t.Fatalf("%v (%s), want one that stops and says: %s", err, store.Classify(err), at.want)
			}
			if strings.Contains(err.Error(), "another-s3cret") || strings.Contains(err.Error(), db.Password) {
				t.Errorf("the password is told: %v", err)
			}
		})
	}
}
