package docker

import (
	"context"
	"errors"
	"os"
)

// throughlineRecipe is the binary and what it cannot bring itself: the authorities that it trusts. The Dockerfile beside
// this file makes the same image where there is no Go but a registry.
func throughlineRecipe(ctx context.Context, b *builder) (recipe, error) {
	// Without the engine of `throughline dev`, which needs a C library, the binary needs nothing at all.
	program, err := b.compile(ctx, "throughline", "-tags=noengine")
	if err != nil {
		return recipe{}, err
	}
	code, err := hashFile(program)
	if err != nil {
		return recipe{}, err
	}
	trusted, err := authorities()
	if err != nil {
		return recipe{}, err
	}
	return recipe{
		inputs: []string{code, trusted},
		changes: []string{
			"USER 65532:65532",
			"WORKDIR /var/lib/throughline",
			"ENV THROUGHLINE_LISTEN=:8080 THROUGHLINE_ADMIN_LISTEN=:9090 THROUGHLINE_VIEWS=/var/lib/throughline/views THROUGHLINE_PROJECTOR_DIR=/var/lib/throughline/projector",
			`ENTRYPOINT ["/throughline"]`,
			`HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/throughline", "health"]`,
			"VOLUME /var/lib/throughline",
			"EXPOSE 8080 9090",
		},
		write: func(_ context.Context, r *rootFolder) error {
			r.file("/throughline", program, 0o755)
			r.text("/etc/ssl/certs/ca-certificates.crt", trusted, 0o644)
			r.folder("/tmp", root, 0o1777)
			r.folder("/var/lib/throughline", nobody, 0o755)
			return nil
		},
	}, nil
}

// authorities are the certificates that this machine trusts.
func authorities() (string, error) {
	for _, path := range []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"} {
		if text, err := os.ReadFile(path); err == nil {
			return string(text), nil
		}
	}
	return "", errors.New("this machine has no list of certificate authorities to copy (Debian: ca-certificates)")
}
