package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// owner is who a file in an image belongs to.
type owner int

const (
	root owner = 0
	// Those of the servers are the ones of the official images, so that a volume outlives the change from one to the other.
	clickHouseUser owner = 101
	kafkaUser      owner = 1000
	// nobody runs the binary: a number, because an image from scratch has no list of users.
	nobody owner = 65532
)

// rootFolder writes an image's root folder as a tar archive. The first error sticks and makes the rest do nothing.
type rootFolder struct {
	tar  *tar.Writer
	seen map[string]bool
	err  error
}

func newRootFolder(w io.Writer) *rootFolder {
	return &rootFolder{tar: tar.NewWriter(w), seen: make(map[string]bool)}
}

// close ends the archive and says what went wrong since the beginning.
func (r *rootFolder) close() error { return errors.Join(r.err, r.tar.Close()) }

// add writes one entry, after the folders above it, unless it is there.
func (r *rootFolder) add(h *tar.Header, content io.Reader) {
	h.Name = strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	if r.err != nil || h.Name == "" || r.seen[h.Name] {
		return
	}
	if parent := path.Dir(h.Name); parent != "." && !r.seen[parent] {
		r.folder(parent, root, 0o755)
	}
	r.seen[h.Name] = true
	// Without a time, equal inputs make equal layers.
	h.ModTime, h.Format = time.Unix(0, 0), tar.FormatPAX
	if r.err = r.tar.WriteHeader(h); r.err == nil && content != nil {
		_, r.err = io.Copy(r.tar, content)
	}
	if r.err != nil {
		r.err = fmt.Errorf("write %s: %w", h.Name, r.err)
	}
}

// folder adds a folder.
func (r *rootFolder) folder(name string, by owner, mode int64) {
	r.add(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, Uid: int(by), Gid: int(by)}, nil)
}

// text adds a file of ours.
func (r *rootFolder) text(name, content string, mode int64) {
	r.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, strings.NewReader(content))
}

// link adds a symbolic link.
func (r *rootFolder) link(name, to string) {
	r.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}, nil)
}

// file adds a file of this machine, what a symbolic link points to in its place.
func (r *rootFolder) file(name, from string, mode int64) {
	if r.err != nil {
		return
	}
	f, err := os.Open(from)
	if err != nil {
		r.err = fmt.Errorf("copy into image: %w", err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		r.err = fmt.Errorf("copy into image: %w", err)
		return
	}
	r.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: info.Size()}, f)
}

// program adds a program or a shared object of this machine, and the shared objects that it needs, each at its own path.
func (r *rootFolder) program(ctx context.Context, name, from string) {
	if r.err != nil {
		return
	}
	r.file(name, from, 0o755)
	r.needs(ctx, from, "")
}

// needs adds the shared objects that a program needs, each at its own path, less those that lie in its own folder.
func (r *rootFolder) needs(ctx context.Context, program, own string) {
	needed, err := sharedObjects(ctx, program, own)
	r.err = errors.Join(r.err, err)
	for _, object := range needed {
		if own == "" || !strings.HasPrefix(object, own+"/") {
			r.file(object, object, 0o755)
		}
	}
}

// tree adds a folder of this machine with all that is in it, and what its programs need.
func (r *rootFolder) tree(ctx context.Context, name, from string) {
	if r.err != nil {
		return
	}
	r.err = filepath.WalkDir(from, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		to := path.Join(name, filepath.ToSlash(rel))
		info, err := entry.Info()
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			r.folder(to, root, 0o755)
		case info.Mode().Perm()&0o111 != 0 || strings.HasSuffix(file, ".so"):
			r.file(to, file, 0o755)
			r.needs(ctx, file, from)
		default:
			r.file(to, file, 0o644)
		}
		return r.err
	})
}

// objectPath is a shared object in a line of ldd: "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", and the loader,
// which has its path alone.
var objectPath = regexp.MustCompile(`(?m)(?:=> |^\s+)(/\S+) \(0x`)

// sharedObjects lists the shared objects that a program needs; none for one that is static, or no program. Java's own
// find each other below its folder because the program has loaded them before, of which ldd knows nothing.
func sharedObjects(ctx context.Context, program, own string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "ldd", program) //nolint:gosec // a program that goes into an image of ours
	if own != "" {
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(own, "lib")+":"+filepath.Join(own, "lib", "server"))
	}
	output, err := cmd.CombinedOutput()
	if strings.Contains(string(output), "not a dynamic executable") || strings.Contains(string(output), "statically linked") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask ldd about %s: %w: %s", program, err, strings.TrimSpace(string(output)))
	}
	if missing := regexp.MustCompile(`\S+ => not found`).Find(output); missing != nil {
		return nil, fmt.Errorf("%s needs %s", program, missing)
	}
	var objects []string
	for _, match := range objectPath.FindAllStringSubmatch(string(output), -1) {
		objects = append(objects, match[1])
	}
	return objects, nil
}

// shell adds busybox with the commands that entry scripts, health checks and a person who looks around need.
func (r *rootFolder) shell(ctx context.Context) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		r.err = errors.Join(r.err, fmt.Errorf("an image needs busybox (Debian: busybox-static): %w", err))
		return
	}
	r.program(ctx, "/bin/busybox", busybox)
	for name := range strings.FieldsSeq("awk cat df env find grep head kill ls mkdir mktemp nc ps rm sed sh sleep tail tar touch wget") {
		r.link("/bin/"+name, "busybox")
	}
	r.folder("/tmp", root, 0o1777)
}
