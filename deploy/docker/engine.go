package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// ErrNoEngine is returned where no Docker engine answers.
var ErrNoEngine = errors.New("no Docker engine answers")

// Bounds of what the engine is asked for. A registry that cannot be reached says so within seconds.
const (
	askWithin  = 30 * time.Second
	pullWithin = 10 * time.Minute
)

// engine is the Docker engine, through its command line client, which knows contexts, certificates and remote engines.
type engine struct {
	progress io.Writer
}

// ask runs a command of docker and returns what it prints.
func (e engine) ask(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return output(exec.CommandContext(ctx, "docker", args...)) //nolint:gosec // arguments of ours
}

// output runs a command and returns what it prints; what it complains about is part of the error.
func output(cmd *exec.Cmd) (string, error) {
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run %s: %w: %s", strings.Join(cmd.Args[:min(len(cmd.Args), 3)], " "), err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// platform is the engine's operating system and architecture, in the words of Go.
func (e engine) platform(ctx context.Context) (system, arch string, err error) {
	text, err := e.ask(ctx, "version", "--format", "{{.Server.Os}} {{.Server.Arch}}")
	if err != nil {
		return "", "", errors.Join(ErrNoEngine, err)
	}
	system, arch, ok := strings.Cut(text, " ")
	if !ok {
		return "", "", fmt.Errorf("%w: its platform is %q", ErrNoEngine, text)
	}
	return system, arch, nil
}

// label is a label of an image; the image is there if there is no error.
func (e engine) label(ctx context.Context, image, name string) (string, error) {
	return e.ask(ctx, "image", "inspect", "--format", fmt.Sprintf("{{index .Config.Labels %q}}", name), image)
}

// pull gets an image from its registry.
func (e engine) pull(ctx context.Context, image string) error {
	ctx, cancel := context.WithTimeout(ctx, pullWithin)
	defer cancel()
	_, err := output(exec.CommandContext(ctx, "docker", "pull", "--quiet", image)) //nolint:gosec // an image of ours
	return err
}

// load makes an image from a root folder, which write writes. The archive is a file and not a stream: of one that ends
// in the middle the engine makes an image too.
func (e engine) load(ctx context.Context, image, archive string, changes []string, write func(*rootFolder) error) (err error) {
	file, err := os.Create(archive)
	if err != nil {
		return fmt.Errorf("make archive of image: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(archive)) }()
	folder := newRootFolder(file)
	if err := errors.Join(write(folder), folder.close(), file.Close()); err != nil {
		return err
	}
	args := []string{"import"}
	for _, change := range changes {
		args = append(args, "--change", change)
	}
	_, err = output(exec.CommandContext(ctx, "docker", append(args, archive, image)...)) //nolint:gosec // arguments of ours
	return err
}

// say tells a person what is going on.
func (e engine) say(format string, args ...any) {
	_, _ = fmt.Fprintf(e.progress, format+"\n", args...) // there is nowhere else to say it
}
