package connect

import (
	"fmt"
	"os"
	"strings"
)

// maxSecretBytes bounds a secret's file, so that a wrong path does not read a disk.
const maxSecretBytes = 64 << 10

// Secret is the value of a secret that is given either by itself or as the path of a file that holds it, as Docker and
// Kubernetes mount them; name is the environment variable of the value. The end of its line is no part of it, whatever
// else is white counts.
func Secret(name, value, file string) (string, error) {
	value = strings.TrimRight(value, "\r\n")
	if file == "" {
		return value, nil
	}
	if value != "" {
		return "", fmt.Errorf("%s and %s_FILE are both set: one of them is enough", name, name)
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("read %s_FILE: %w", name, err)
	}
	if info.Size() > maxSecretBytes {
		return "", fmt.Errorf("read %s_FILE: %s has %d bytes, which no secret has", name, file, info.Size())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read %s_FILE: %w", name, err)
	}
	if value = strings.TrimRight(string(data), "\r\n"); value == "" {
		return "", fmt.Errorf("read %s_FILE: %s is empty", name, file)
	}
	return value, nil
}
