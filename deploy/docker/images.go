package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/throughline/throughline/schema/embedded"
)

// inputsLabel carries the hash of what an image was made of.
const inputsLabel = "throughline.inputs"

// Image is one that compose.yaml and the tests know by a variable.
type Image struct {
	// Name is how it is asked for: kafka, clickhouse or throughline.
	Name string
	// Variable names the image in compose.yaml and in the environment of tests.
	Variable string
	// Pulled is what a registry has; empty for what is ours.
	Pulled string
	// Local is what is built here.
	Local string

	prepare func(ctx context.Context, b *builder) (recipe, error)
}

// recipe is how an image is built.
type recipe struct {
	// inputs is everything that a change of makes another image.
	inputs []string
	// changes are instructions of a Dockerfile.
	changes []string
	write   func(ctx context.Context, r *rootFolder) error
}

// Images are all images.
func Images() []Image {
	return []Image{
		{Name: "kafka", Variable: "KAFKA_IMAGE", Pulled: embedded.KafkaImage, Local: embedded.LocalKafkaImage, prepare: kafkaRecipe},
		{Name: "clickhouse", Variable: "CLICKHOUSE_IMAGE", Pulled: embedded.ClickHouseImage, Local: embedded.LocalClickHouseImage, prepare: clickHouseRecipe},
		{Name: "throughline", Variable: "THROUGHLINE_IMAGE", Local: "throughline:local", prepare: throughlineRecipe},
	}
}

// builder is what recipes work with.
type builder struct {
	engine engine
	// dir is a folder for what is made on the way.
	dir string
	// arch is the engine's architecture.
	arch string
}

// Ensure makes sure that the engine has the images of these names, all if there are none, and returns their assignments,
// such as KAFKA_IMAGE=apache/kafka:4.4.0. An image that the environment names is taken to be there. Progress is for a
// person. It wraps [ErrNoEngine] where no engine answers.
func Ensure(ctx context.Context, names []string, progress io.Writer) (assignments []string, err error) {
	e := engine{progress: progress}
	system, arch, err := e.platform(ctx)
	if err != nil {
		return nil, err
	}
	if system != "linux" {
		return nil, fmt.Errorf("the Docker engine runs %s containers, Throughline's are for linux", system)
	}
	dir, err := os.MkdirTemp("", "throughline-images-")
	if err != nil {
		return nil, fmt.Errorf("make temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &builder{engine: e, dir: dir, arch: arch}
	for _, image := range Images() {
		if len(names) > 0 && !slices.Contains(names, image.Name) {
			continue
		}
		tag := os.Getenv(image.Variable)
		if tag == "" {
			if tag, err = b.ensure(ctx, image); err != nil {
				return nil, fmt.Errorf("image of %s: %w", image.Name, err)
			}
		}
		assignments = append(assignments, image.Variable+"="+tag)
	}
	return assignments, nil
}

// ensure returns an image that the engine has: the official one if it is there or can be pulled, or else one that is
// built here, unless it is there and up to date.
func (b *builder) ensure(ctx context.Context, image Image) (string, error) {
	if image.Pulled != "" {
		if _, err := b.engine.label(ctx, image.Pulled, inputsLabel); err == nil {
			return image.Pulled, nil
		}
	}
	// One that was built shows that there was no registry, which is not asked again for every run of the tests.
	label, err := b.engine.label(ctx, image.Local, inputsLabel)
	if image.Pulled != "" && err != nil {
		b.engine.say("%s: pulling %s", image.Name, image.Pulled)
		pulling := b.engine.pull(ctx, image.Pulled)
		if pulling == nil {
			return image.Pulled, nil
		}
		b.engine.say("%s: it cannot be pulled, building %s (%v)", image.Name, image.Local, pulling)
	}
	r, err := image.prepare(ctx, b)
	if err != nil {
		return "", err
	}
	inputs := hash(slices.Concat(r.inputs, r.changes))
	if label == inputs {
		return image.Local, nil
	}
	b.engine.say("%s: building %s", image.Name, image.Local)
	changes := append(slices.Clone(r.changes), "LABEL "+inputsLabel+"="+inputs)
	err = b.engine.load(ctx, image.Local, filepath.Join(b.dir, image.Name+".tar"), changes, func(folder *rootFolder) error { return r.write(ctx, folder) })
	return image.Local, err
}

// hash is one short text for several.
func hash(parts []string) string {
	digest := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(digest, "%d:%s,", len(part), part) // a hash takes everything
	}
	return hex.EncodeToString(digest.Sum(nil)[:16])
}

// hashFile is the hash of a file's content.
func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash a part of the image: %w", err)
	}
	defer f.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", filepath.Base(path), err)
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// compile builds a program of the deploy module for the containers, without C, without paths of this machine in it, and
// returns where it is. It runs in the repository: a program of ours can be built from nowhere else.
func (b *builder) compile(ctx context.Context, program string, flags ...string) (string, error) {
	to := filepath.Join(b.dir, filepath.Base(program))
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", to}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/throughline/throughline/deploy/cmd/"+program)...) //nolint:gosec // a program of ours
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.arch)
	_, err := output(cmd)
	return to, err
}

// native is an error unless containers run what this machine runs: what they are made of is copied from it.
func (b *builder) native() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != b.arch {
		return fmt.Errorf("it can be built on linux/%s only, this is %s/%s: let the engine pull it, or name one in the environment",
			b.arch, runtime.GOOS, runtime.GOARCH)
	}
	return nil
}
