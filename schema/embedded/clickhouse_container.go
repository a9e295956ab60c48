package embedded

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// Ports of a server in a container, as those of ClickHouse's own image.
const (
	ContainerPort     = 9000
	ContainerHTTPPort = 8123
)

// ContainerFiles are what makes the server of a ClickHouse image, the official
// one or ours, into the one that [StartClickHouse] starts: the same users with
// the same limits, the same settings and sizes. Config belongs into the folder
// /etc/clickhouse-server/config.d, Users into /etc/clickhouse-server/users.d.
// The passwords are those of CLICKHOUSE_WRITE_PASSWORD and
// CLICKHOUSE_READ_PASSWORD in the server's environment.
type ContainerFiles struct {
	Config, Users string
	// User may do everything, ReadUser may read, within limits.
	User, ReadUser string
}

// ClickHouseContainerFiles returns the files for an image.
func ClickHouseContainerFiles() (ContainerFiles, error) {
	config, users, err := clickHouseFiles{
		Container: true, Memory: defaultMemory, UserCache: cacheMemory, User: writeUser, ReadUser: readUser,
	}.render()
	return ContainerFiles{Config: config, Users: users, User: writeUser, ReadUser: readUser}, err
}

// ServeOptions describe a server that is all that its container runs.
type ServeOptions struct {
	// Library is the path of libchdb.so.
	Library string
	// Config is the path of config.xml, which names the users' file.
	Config string
	// DataDir keeps the data.
	DataDir string
}

// ServeClickHouse runs the engine for everybody who reaches this machine, on
// the ports of a container, until the context ends; the output is this
// process's. An engine that ends by itself is an error, for what starts
// containers to act upon.
func ServeClickHouse(ctx context.Context, opts ServeOptions) (err error) {
	owner, err := claimFolder(ctx, opts.DataDir, ownerWait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, owner.Close()) }()
	if err := checkFormat(opts.DataDir, clickHouseFormat); err != nil {
		return err
	}
	files := clickHouseFiles{
		DataDir: filepath.Join(opts.DataDir, "store"), Run: filepath.Dir(opts.Config),
		Host: "0.0.0.0", Port: ContainerPort, HTTPPort: ContainerHTTPPort,
	}
	child, err := startChild(ctx, childSpec{
		name: "clickhouse",
		role: roleEngine,
		args: append([]string{opts.Library}, files.args(roleEngine)...),
		// The engine takes its time zone from here.
		env:   []string{"TZ=UTC"},
		dir:   opts.DataDir,
		owner: owner,
	})
	if err != nil {
		return fmt.Errorf("start ClickHouse: %w", err)
	}
	select {
	case <-ctx.Done():
		return child.stop(termBound)
	case <-child.done:
		return child.err
	}
}
