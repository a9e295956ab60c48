package schematest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/testcontainers/testcontainers-go"

	"github.com/throughline/throughline/schema/embedded"
)

// startClickHouseContainer starts a server with the users and settings of the
// embedded one and returns once it answers queries.
func startClickHouseContainer(ctx context.Context) (DB, error) {
	d, err := theDocker(ctx)
	if err != nil {
		return DB{}, err
	}
	files, err := embedded.ClickHouseContainerFiles()
	if err != nil {
		return DB{}, err
	}
	db := DB{User: files.User, Password: rand.Text(), ReadUser: files.ReadUser, ReadPassword: rand.Text()}
	port := strconv.Itoa(embedded.ContainerPort) + "/tcp"
	c, err := d.start(ctx, testcontainers.ContainerRequest{
		Image:        d.clickHouse,
		ExposedPorts: []string{port},
		Env: map[string]string{
			"CLICKHOUSE_WRITE_PASSWORD": db.Password,
			"CLICKHOUSE_READ_PASSWORD":  db.ReadPassword,
			// The official image would make a user of its own.
			"CLICKHOUSE_SKIP_USER_SETUP": "1",
		},
		Files: []testcontainers.ContainerFile{
			{Reader: strings.NewReader(files.Config), ContainerFilePath: "/etc/clickhouse-server/config.d/throughline.xml", FileMode: 0o644},
			{Reader: strings.NewReader(files.Users), ContainerFilePath: "/etc/clickhouse-server/users.d/throughline.xml", FileMode: 0o644},
		},
	})
	if err != nil {
		return DB{}, err
	}
	mapped, err := c.MappedPort(ctx, port)
	if err == nil {
		db.Addr = net.JoinHostPort(d.host, strconv.Itoa(int(mapped.Num())))
		err = embedded.AwaitClickHouse(ctx, db.Addr, db.User, db.Password, func() error { return d.broken(ctx, c) })
	}
	if err != nil {
		return DB{}, errors.Join(fmt.Errorf("start clickhouse in a container: %w", err), remove(ctx, c))
	}
	shared.keep(closer(func() error { return remove(context.WithoutCancel(ctx), c) }))
	return db, nil
}

// closer is a function that ends something.
type closer func() error

// Close implements io.Closer.
func (c closer) Close() error { return c() }
