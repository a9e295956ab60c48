package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	kafkaVersion = "4.4.0"
	// kafkaJars is how many files version 4.4.0 resolves to. Fewer means a
	// broken download; more means that a dependency is no longer the one that
	// was tried.
	kafkaJars = 44
	// kafkaBytes is what arrives in the temporary folder: Maven's plugins and
	// the artifacts, and the copies of the artifacts.
	kafkaBytes = 109_000_000
	// javaMajor is the oldest Java that Kafka 4 runs on.
	javaMajor = 17
)

// ErrNoKafka is returned where Apache Kafka cannot be had; its text says what
// to install.
var ErrNoKafka = errors.New("no Apache Kafka on this machine: install Java 17 and Maven, " +
	"or set KAFKA_BROKERS to a running cluster, or use Docker (docker run apache/kafka:" + kafkaVersion + ")")

// kafkaPom asks for the broker and for a logger to write with. kafka-tools-api
// is excluded because it is declared and was never published.
const kafkaPom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.github.throughline</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>` + kafkaVersion + `</version>
      <exclusions>
        <exclusion>
          <groupId>org.apache.kafka</groupId>
          <artifactId>kafka-tools-api</artifactId>
        </exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.25.3</version>
    </dependency>
  </dependencies>
  <build>
    <plugins>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-dependency-plugin</artifactId>
        <version>3.8.1</version>
      </plugin>
    </plugins>
  </build>
</project>
`

// kafkaFetch is one way to get the jars.
type kafkaFetch struct {
	mvn      string
	jars     int
	progress io.Writer
}

// FetchKafka returns the folder with Apache Kafka's jars, downloading them with
// Maven (65 MB) if the cache does not hold them. It wraps [ErrNoKafka] where
// Maven is not installed or the download does not work.
func FetchKafka(ctx context.Context, opts FetchOptions) (string, error) {
	cache, err := cacheFolder(opts.CacheDir)
	if err != nil {
		return "", err
	}
	return kafkaFetch{mvn: "mvn", jars: kafkaJars, progress: opts.Progress}.into(ctx, cache)
}

func (k kafkaFetch) into(ctx context.Context, cache string) (string, error) {
	path := filepath.Join(cache, "kafka", kafkaVersion, "libs")
	if exists(path) {
		return path, nil
	}
	if _, err := exec.LookPath(k.mvn); err != nil {
		return "", fmt.Errorf("find Maven: %w", ErrNoKafka)
	}
	err := fetchOnce(ctx, path, func(temp string) (string, error) { return k.copyJars(ctx, temp) })
	if err != nil {
		return "", fmt.Errorf("fetch Apache Kafka: %w", err)
	}
	return path, nil
}

// copyJars has Maven resolve the pom. The repository is a temporary one, so
// that the bytes can be seen arriving; -C makes a wrong checksum an error.
func (k kafkaFetch) copyJars(ctx context.Context, temp string) (string, error) {
	pom, libs := filepath.Join(temp, "pom.xml"), filepath.Join(temp, "libs")
	if err := writeFile(pom, kafkaPom); err != nil {
		return "", err
	}
	finish := showProgress(k.progress, "Apache Kafka "+kafkaVersion, kafkaBytes, func() int64 {
		return folderSize(temp)
	})
	defer finish()
	cmd := exec.CommandContext(ctx, k.mvn, //nolint:gosec // the user's Maven, fixed arguments
		"--batch-mode", "--quiet", "-C", "-f", pom,
		"-Dmaven.repo.local="+filepath.Join(temp, "repository"),
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+libs)
	cmd.Dir = temp
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = killBound
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("run mvn: %w: %s: %w", err, strings.TrimSpace(string(output)), ErrNoKafka)
	}
	found, err := filepath.Glob(filepath.Join(libs, "*.jar"))
	if err != nil || len(found) != k.jars {
		return "", fmt.Errorf("maven copied %d jars, want %d", len(found), k.jars)
	}
	return libs, nil
}

// findJava returns a Java that Kafka runs on: JAVA_HOME's, or else the PATH's.
func findJava(ctx context.Context) (string, error) {
	path := filepath.Join(os.Getenv("JAVA_HOME"), "bin", "java")
	if os.Getenv("JAVA_HOME") == "" || !exists(path) {
		found, err := exec.LookPath("java")
		if err != nil {
			return "", fmt.Errorf("find Java: %w", ErrNoKafka)
		}
		path = found
	}
	output, err := exec.CommandContext(ctx, path, "--version").Output() //nolint:gosec // the user's Java
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w: %w", path, err, ErrNoKafka)
	}
	if major := javaVersion(string(output)); major < javaMajor {
		return "", fmt.Errorf("%s is Java %d, want %d or newer: %w", path, major, javaMajor, ErrNoKafka)
	}
	return path, nil
}

// javaVersion reads the major version from lines such as
// "openjdk 17.0.15 2025-04-15"; it is 0 where there is none to read.
func javaVersion(output string) int {
	fields := strings.Fields(output)
	if len(fields) < 2 {
		return 0
	}
	text, _, _ := strings.Cut(fields[1], ".")
	text, _, _ = strings.Cut(text, "-") // an early-access build says 27-ea
	major, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return major
}
