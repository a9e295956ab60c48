package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// settings is what the commands that are configured for long have in common.
type settings struct {
	PrintConfig bool `name:"print-config" help:"Print what is configured and where it comes from, as lines of a shell; without secrets."`
}

// Origins of a value, as --print-config names them.
const (
	fromDefault     = "default"
	fromEnvironment = "environment"
	fromFlag        = "flag"
)

// hidden stands for the value of a secret.
const hidden = "(hidden)"

// given are the flags of the command line itself, whose other sources are the environment and the defaults.
func given(ctx *kong.Context) []*kong.Flag {
	var flags []*kong.Flag
	for _, p := range ctx.Path {
		if p.Flag != nil {
			flags = append(flags, p.Flag)
		}
	}
	return flags
}

// refuseSecrets says which secrets stand on the command line although they do not belong there: every process of the
// machine can read it. Those of services are marked secret:"env".
func refuseSecrets(ctx *kong.Context) error {
	var errs []error
	for _, f := range given(ctx) {
		if f.Tag.Get("secret") == "env" {
			errs = append(errs, fmt.Errorf("--%s: the command line is no place for a secret, because every process can read it: set %[2]s or %[2]s_FILE",
				f.Name, f.Envs[0]))
		}
	}
	return errors.Join(errs...)
}

// wantsConfig says whether the command line asks for the configuration.
func wantsConfig(ctx *kong.Context) bool {
	return slices.ContainsFunc(given(ctx), func(f *kong.Flag) bool { return f.Name == "print-config" })
}

// printConfig writes the value of every flag of the command as a line of a shell, with where it comes from. Secrets are
// comments, so that nobody sets a secret to what stands for it here.
func printConfig(w io.Writer, ctx *kong.Context) error {
	onLine := given(ctx)
	var out strings.Builder
	for _, f := range ctx.Flags() {
		if len(f.Envs) == 0 {
			continue
		}
		name, value, origin := f.Envs[0], textOf(f, ctx.FlagValue(f)), fromDefault
		if _, set := os.LookupEnv(name); set {
			origin = fromEnvironment
		}
		if slices.Contains(onLine, f) {
			origin = fromFlag + " --" + f.Name
		}
		switch {
		case !f.Tag.Has("secret"):
			fmt.Fprintf(&out, "%s=%s  # %s\n", name, quote(value), origin)
		case value != "":
			fmt.Fprintf(&out, "# %s=%s  # %s\n", name, hidden, origin)
		}
		if secret, ok := strings.CutSuffix(name, "_FILE"); ok && value != "" && isSecret(ctx, secret) {
			fmt.Fprintf(&out, "# %s=%s  # file %s\n", secret, hidden, value)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// isSecret says whether an environment variable of the command is a secret.
func isSecret(ctx *kong.Context, env string) bool {
	return slices.ContainsFunc(ctx.Flags(), func(f *kong.Flag) bool {
		return f.Tag.Has("secret") && slices.Contains(f.Envs, env)
	})
}

// textOf writes a value as its environment variable would have it.
func textOf(f *kong.Flag, value any) string {
	if d, ok := value.(time.Duration); ok {
		return d.String()
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.Slice {
		items := make([]string, v.Len())
		for i := range items {
			items[i] = fmt.Sprint(v.Index(i))
		}
		return strings.Join(items, ",")
	}
	if f.Tag.Type == bytesType {
		if v := reflect.ValueOf(value); v.CanInt() {
			return sizeText(uint64(v.Int()))
		} else if v.CanUint() {
			return sizeText(v.Uint())
		}
	}
	return fmt.Sprint(value)
}

// quote makes a value one word of a shell.
func quote(value string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@%+="
	if strings.Trim(value, plain) == "" {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// bytesType is the type of flags that are sizes.
const bytesType = "bytes"

// unit is a unit of size.
type unit struct {
	name  string
	bytes uint64
}

func units() []unit {
	return []unit{
		{"KiB", 1 << 10},
		{"MiB", 1 << 20},
		{"GiB", 1 << 30},
		{"TiB", 1 << 40},
		{"kB", 1e3},
		{"KB", 1e3},
		{"MB", 1e6},
		{"GB", 1e9},
		{"TB", 1e12},
		{"B", 1},
	}
}

// parseSize reads a size such as 8MiB, 100MB or 4096, which are bytes.
func parseSize(text string) (uint64, error) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	scale, name := uint64(1), strings.TrimSpace(text[len(digits):])
	if name != "" {
		i := slices.IndexFunc(units(), func(u unit) bool { return u.name == name })
		if i < 0 {
			return 0, fmt.Errorf("%q is no size: units are B, KiB, MiB, GiB, TiB, kB, MB, GB, TB", text)
		}
		scale = units()[i].bytes
	}
	var n uint64
	for _, c := range digits {
		if c == '_' {
			continue
		}
		if c < '0' || c > '9' || n > (1<<62)/10 {
			return 0, fmt.Errorf("%q is no size: want a number of bytes, such as 8MiB", text)
		}
		n = 10*n + uint64(c-'0')
	}
	if digits == "" || n > (1<<62)/scale {
		return 0, fmt.Errorf("%q is no size: want a number of bytes, such as 8MiB", text)
	}
	return n * scale, nil
}

// sizeText writes a size in the largest unit that holds it without a rest.
func sizeText(n uint64) string {
	for _, u := range slices.Backward(units()[:4]) {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return strconv.FormatUint(n, 10)
}

// sizes reads flags of the type bytes, whatever integer they are kept in.
func sizes() kong.Option {
	return kong.NamedMapper(bytesType, kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("size", &text); err != nil {
			return err
		}
		n, err := parseSize(text)
		switch {
		case err != nil:
			return err
		case target.CanInt() && !target.OverflowInt(int64(n)):
			target.SetInt(int64(n))
		case target.CanUint() && !target.OverflowUint(n):
			target.SetUint(n)
		default:
			return fmt.Errorf("%q is too large", text)
		}
		return nil
	}))
}
