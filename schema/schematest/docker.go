package schematest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"github.com/throughline/throughline/schema/embedded"
)

// Environment that names images, which the Makefile sets to what it has found,
// and the host of containers' ports, for tests that run in a container
// themselves.
const (
	hostEnv            = "TESTCONTAINERS_HOST_OVERRIDE"
	kafkaImageEnv      = "KAFKA_IMAGE"
	clickHouseImageEnv = "CLICKHOUSE_IMAGE"
)

const (
	// pingWithin bounds the question whether an engine is there; one that is
	// answers within milliseconds.
	pingWithin = 2 * time.Second
	// pullWithin bounds the download of an image.
	pullWithin = 10 * time.Minute
	// tidyWithin bounds what is cleaned up.
	tidyWithin = 30 * time.Second
)

// Labels of a container say which process it belongs to.
const (
	ownerLabel = "throughline.test.pid"
	hostLabel  = "throughline.test.host"
)

// errNoDocker is returned where containers cannot be had.
var errNoDocker = errors.New("no containers on this machine: start a Docker engine and run `make images`")

// docker is the engine that this test binary's containers run on.
type docker struct {
	client *client.Client
	// host is where the ports of containers are reached.
	host              string
	kafka, clickHouse string // images
}

// theDocker finds the engine and the images once for the test binary.
func theDocker(ctx context.Context) (*docker, error) {
	return shared.docker.get(func() (*docker, error) {
		d, err := findDocker(ctx)
		if err != nil {
			return nil, errors.Join(errNoDocker, err)
		}
		shared.keep(d.client)
		return d, nil
	})
}

func findDocker(ctx context.Context) (*docker, error) {
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return nil, fmt.Errorf("open docker client: %w", err)
	}
	ping, cancel := context.WithTimeout(ctx, pingWithin)
	defer cancel()
	if _, err := engine.Ping(ping, client.PingOptions{}); err != nil {
		return nil, errors.Join(fmt.Errorf("ping docker engine: %w", err), engine.Close())
	}
	d := &docker{client: engine}
	if d.kafka, err = d.image(ctx, kafkaImageEnv, embedded.KafkaImage, embedded.LocalKafkaImage); err == nil {
		d.clickHouse, err = d.image(ctx, clickHouseImageEnv, embedded.ClickHouseImage, embedded.LocalClickHouseImage)
	}
	if err == nil {
		err = d.prepare(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return d, nil
}

// image is one that the engine has: the named one, the project's own, or the
// one that was built here; failing those, the project's own is pulled.
func (d *docker) image(ctx context.Context, variable, project, local string) (string, error) {
	if named := os.Getenv(variable); named != "" {
		return named, nil
	}
	for _, image := range []string{project, local} {
		if _, err := d.client.ImageInspect(ctx, image); err == nil {
			return image, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, pullWithin)
	defer cancel()
	pull, err := d.client.ImagePull(ctx, project, client.ImagePullOptions{})
	if err == nil {
		err = errors.Join(pull.Wait(ctx), pull.Close())
	}
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", project, err)
	}
	return project, nil
}

// prepare has testcontainers do without its reaper, an image of its own that
// not every machine can pull. What a killed test binary left behind is removed
// here instead, by the next one.
func (d *docker) prepare(ctx context.Context) error {
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return fmt.Errorf("configure testcontainers: %w", err)
	}
	host, err := engineHost(d.client.DaemonHost())
	if err != nil {
		return err
	}
	d.host = cmp.Or(os.Getenv(hostEnv), host)
	d.sweep(ctx)
	return nil
}

// engineHost is where the ports of an engine's containers are: on this machine
// if the engine is reached through a socket of it.
func engineHost(engine string) (string, error) {
	u, err := url.Parse(engine)
	if err != nil {
		return "", fmt.Errorf("address of the docker engine: %w", err)
	}
	return cmp.Or(u.Hostname(), "127.0.0.1"), nil
}

// sweep removes the containers and networks of processes of this machine that
// are gone. Another test binary may sweep at the same time, so what cannot be
// removed is left to it.
func (d *docker) sweep(ctx context.Context) {
	mine := make(client.Filters).Add("label", hostLabel+"="+hostName())
	gone := func(labels map[string]string) bool {
		pid, err := strconv.Atoi(labels[ownerLabel])
		return err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	if containers, err := d.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: mine}); err == nil {
		for _, c := range containers.Items {
			if gone(c.Labels) {
				_, _ = d.client.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			}
		}
	}
	if networks, err := d.client.NetworkList(ctx, client.NetworkListOptions{Filters: mine}); err == nil {
		for _, n := range networks.Items {
			if gone(n.Labels) {
				_, _ = d.client.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
			}
		}
	}
}

// labels mark what belongs to this process.
func labels() map[string]string {
	return map[string]string{ownerLabel: strconv.Itoa(os.Getpid()), hostLabel: hostName()}
}

func hostName() string {
	name, _ := os.Hostname()
	return cmp.Or(name, "unknown")
}

// start starts a container.
func (d *docker) start(ctx context.Context, request testcontainers.ContainerRequest) (testcontainers.Container, error) {
	request.Labels = labels()
	c, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
		ContainerRequest: request, Started: true, Logger: quiet{},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", request.Image, err), remove(ctx, c))
	}
	return c, nil
}

// quiet keeps the life of containers out of the output of tests; what goes
// wrong is an error.
type quiet struct{}

// Printf implements the logger of testcontainers.
func (quiet) Printf(string, ...any) {}

// remove kills a container and removes it with its data. There may be none.
func remove(ctx context.Context, c testcontainers.Container) error {
	if c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyWithin)
	defer cancel()
	return testcontainers.TerminateContainer(c, testcontainers.StopContext(ctx), testcontainers.StopTimeout(0))
}

// mostLog is how much of a container's log, in bytes, an error quotes.
const mostLog = 4 << 10

// broken is an error, with the end of its log, if a container does not run.
func (d *docker) broken(ctx context.Context, c testcontainers.Container) error {
	found, err := d.client.ContainerInspect(ctx, c.GetContainerID(), client.ContainerInspectOptions{})
	if err != nil {
		return fmt.Errorf("look at container: %w", err)
	}
	state := found.Container.State
	if state == nil || state.Running {
		return nil
	}
	var text []byte
	if log, err := c.Logs(ctx); err == nil {
		text, _ = io.ReadAll(log)
		_ = log.Close() // it was read
	}
	return fmt.Errorf("container of %s ended with code %d; its last output: %s",
		found.Container.Config.Image, state.ExitCode, text[max(0, len(text)-mostLog):])
}
