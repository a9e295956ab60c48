package docker

import (
	"context"
	_ "embed" // the entry script
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/throughline/throughline/schema/embedded"
)

// kafkaEntry is what a Kafka container runs first.
//
//go:embed kafka.sh
var kafkaEntry string

// kafkaModules are the parts of Java that the broker uses. All of Java is four times as large.
const kafkaModules = "java.base,java.desktop,java.logging,java.management,java.naming,java.security.jgss,java.security.sasl," +
	"java.sql,java.xml,jdk.management,jdk.unsupported,jdk.crypto.ec,java.net.http,jdk.net,java.instrument,java.scripting,java.compiler"

// kafkaRecipe is Apache Kafka from its published jars on a Java that holds no more than it needs.
func kafkaRecipe(ctx context.Context, b *builder) (recipe, error) {
	if err := b.native(); err != nil {
		return recipe{}, err
	}
	libs, err := embedded.FetchKafka(ctx, embedded.FetchOptions{Progress: b.engine.progress})
	if err != nil {
		return recipe{}, err
	}
	version, err := output(exec.CommandContext(ctx, "jlink", "--version"))
	if err != nil {
		return recipe{}, fmt.Errorf("an image of Kafka needs jlink (Debian: openjdk-17-jdk-headless): %w", err)
	}
	return recipe{
		inputs: []string{version, kafkaModules, kafkaEntry, filepath.Base(filepath.Dir(libs))},
		changes: []string{
			"USER 1000:1000",
			"WORKDIR /opt/kafka",
			"ENV PATH=/opt/java/bin:/bin",
			`ENTRYPOINT ["/opt/kafka/start.sh"]`,
			"VOLUME /var/lib/kafka/data",
			"EXPOSE 9092",
		},
		write: func(ctx context.Context, r *rootFolder) error {
			java := filepath.Join(b.dir, "java")
			//nolint:gosec // arguments of ours
			_, err := output(exec.CommandContext(ctx, "jlink", "--add-modules", kafkaModules, "--output", java,
				"--strip-java-debug-attributes", "--no-man-pages", "--no-header-files", "--compress=1"))
			if err != nil {
				return err
			}
			// An archive of the classes of every start makes starts quicker.
			dump := exec.CommandContext(ctx, filepath.Join(java, "bin", "java"), "-Xshare:dump") //nolint:gosec // what jlink has just made
			if _, err := output(dump); err != nil {
				return err
			}
			r.shell(ctx)
			r.tree(ctx, "/opt/java", java)
			r.tree(ctx, "/opt/kafka/libs", libs)
			r.text("/opt/kafka/start.sh", kafkaEntry, 0o755)
			r.folder("/var/lib/kafka/data", kafkaUser, 0o755)
			return nil
		},
	}, nil
}

// The files that the engine reads before those of config.d and users.d, where compose.yaml and the tests put theirs. The
// user default is the engine's own session, as schema/embedded says.
const (
	clickHouseConfig = `<clickhouse>
    <path>/var/lib/clickhouse/store/</path>
    <tmp_path>/var/lib/clickhouse/store/tmp/</tmp_path>
    <user_files_path>/var/lib/clickhouse/store/user_files/</user_files_path>
    <format_schema_path>/var/lib/clickhouse/store/format_schemas/</format_schema_path>
    <users_config>/etc/clickhouse-server/users.xml</users_config>
    <user_directories>
        <users_xml>
            <path>/etc/clickhouse-server/users.xml</path>
        </users_xml>
    </user_directories>
    <default_profile>default</default_profile>
    <default_database>default</default_database>
</clickhouse>
`
	clickHouseUsers = `<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <password></password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SYSTEM LISTEN ON *.*</query>
            </grants>
        </default>
    </users>
</clickhouse>
`
)

// clickHouseRecipe is ClickHouse's engine behind a program of ours, in the places of the official image.
func clickHouseRecipe(ctx context.Context, b *builder) (recipe, error) {
	if err := b.native(); err != nil {
		return recipe{}, err
	}
	library, err := embedded.Fetch(ctx, embedded.FetchOptions{Progress: b.engine.progress})
	if err != nil {
		return recipe{}, err
	}
	program, err := b.compile(ctx, "clickhouse")
	if err != nil {
		return recipe{}, err
	}
	code, err := hashFile(program)
	if err != nil {
		return recipe{}, err
	}
	return recipe{
		inputs: []string{code, filepath.Base(filepath.Dir(library)), clickHouseConfig, clickHouseUsers},
		changes: []string{
			"USER 101:101",
			"WORKDIR /var/lib/clickhouse",
			"ENV PATH=/bin",
			`ENTRYPOINT ["/usr/bin/clickhouse"]`,
			"VOLUME /var/lib/clickhouse",
			"EXPOSE 8123 9000",
		},
		write: func(ctx context.Context, r *rootFolder) error {
			r.shell(ctx)
			r.program(ctx, "/usr/bin/clickhouse", program)
			r.program(ctx, "/usr/lib/libchdb.so", library)
			r.text("/etc/clickhouse-server/config.xml", clickHouseConfig, 0o644)
			r.text("/etc/clickhouse-server/users.xml", clickHouseUsers, 0o644)
			r.folder("/etc/clickhouse-server/config.d", root, 0o755)
			r.folder("/etc/clickhouse-server/users.d", root, 0o755)
			r.folder("/var/lib/clickhouse", clickHouseUser, 0o755)
			return nil
		},
	}, nil
}
