package embedded

import (
	"encoding/xml"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
)

// clickHouseFiles are the values that the configuration is made of.
type clickHouseFiles struct {
	DataDir   string
	Run       string // folder of the configuration itself
	Host      string
	Port      int
	HTTPPort  int
	Memory    int64
	UserCache int64

	User, Password         string
	ReadUser, ReadPassword string

	// Container makes files that are merged into those of a container's image:
	// folders are the image's own, passwords come from its environment, and
	// clients from its network.
	Container bool
}

// serverConfig is read by `clickhouse server` and by the engine alike. The
// caches and pools of a server package are sized for a machine of its own; here
// several run beside a browser and an editor.
var serverConfig = template.Must(template.New("config.xml").Funcs(template.FuncMap{"x": escape}).Parse(`<clickhouse>
    <logger>
        <level>warning</level>
        <console>true</console>
    </logger>
{{- if not .Container}}
    <path>{{x .DataDir}}/</path>
    <tmp_path>{{x .DataDir}}/tmp/</tmp_path>
    <user_files_path>{{x .DataDir}}/user_files/</user_files_path>
    <format_schema_path>{{x .DataDir}}/format_schemas/</format_schema_path>
    <listen_host>{{.Host}}</listen_host>
    <tcp_port>{{.Port}}</tcp_port>
    <http_port>{{.HTTPPort}}</http_port>
    <users_config>{{x .Run}}/users.xml</users_config>
    <user_directories>
        <users_xml>
            <path>{{x .Run}}/users.xml</path>
        </users_xml>
    </user_directories>
    <default_profile>default</default_profile>
    <default_database>default</default_database>
{{- end}}
    <timezone>UTC</timezone>
    <max_server_memory_usage>{{.Memory}}</max_server_memory_usage>
    <mark_cache_size>{{.UserCache}}</mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <index_mark_cache_size>{{.UserCache}}</index_mark_cache_size>
    <mmap_cache_size>0</mmap_cache_size>
    <background_pool_size>4</background_pool_size>
    <background_schedule_pool_size>8</background_schedule_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_move_pool_size>1</background_move_pool_size>
    <background_fetches_pool_size>1</background_fetches_pool_size>
    <background_buffer_flush_schedule_pool_size>1</background_buffer_flush_schedule_pool_size>
    <background_distributed_schedule_pool_size>1</background_distributed_schedule_pool_size>
    <background_message_broker_schedule_pool_size>1</background_message_broker_schedule_pool_size>
    <tables_loader_background_pool_size>2</tables_loader_background_pool_size>
    <tables_loader_foreground_pool_size>2</tables_loader_foreground_pool_size>
    <merge_tree>
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>2</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
    <backups>
        <allowed_path>{{if .Container}}/var/lib/clickhouse{{else}}{{x .DataDir}}{{end}}/backups/</allowed_path>
    </backups>
</clickhouse>
`))

// usersConfig has two users for clients.
//
// The writer inserts synchronously: an acknowledged insert is on disk, and its
// deduplication token counts, which an asynchronous insert does not promise.
//
// The reader may do nothing but read: its grants say so, and readonly says so
// again. readonly is 2 rather than 1 because a driver turns a context's
// deadline into max_execution_time and the queries name settings of their own;
// 1 refuses any setting. What protects the server is therefore constrained: a
// query may tighten a limit, never lift it, and 0, which means no limit, is
// below the minimum.
//
// The user default is the engine's own session, which opens the listeners. The
// engine takes it as it is, from the loopback address and without a password,
// so anybody on the machine could: it may do that one thing and nothing else.
var usersConfig = template.Must(template.New("users.xml").Funcs(template.FuncMap{"x": escape}).Parse(`<clickhouse>
    <profiles>
        <default>
            <async_insert>0</async_insert>
            <max_memory_usage>{{.Memory}}</max_memory_usage>
            <query_profiler_real_time_period_ns>0</query_profiler_real_time_period_ns>
            <query_profiler_cpu_time_period_ns>0</query_profiler_cpu_time_period_ns>
        </default>
        <reader>
            <profile>default</profile>
            <readonly>2</readonly>
            <max_execution_time>30</max_execution_time>
            <max_memory_usage>{{.ReadMemory}}</max_memory_usage>
            <max_rows_to_read>200000000</max_rows_to_read>
            <max_bytes_to_read>20000000000</max_bytes_to_read>
            <max_result_rows>1000000</max_result_rows>
            <max_result_bytes>500000000</max_result_bytes>
            <constraints>
                <max_execution_time><min>0.001</min><max>300</max></max_execution_time>
                <max_memory_usage><min>1</min><max>{{.ReadMemory}}</max></max_memory_usage>
                <max_rows_to_read><min>1</min><max>200000000</max></max_rows_to_read>
                <max_bytes_to_read><min>1</min><max>20000000000</max></max_bytes_to_read>
                <max_result_rows><min>1</min><max>1000000</max></max_result_rows>
                <max_result_bytes><min>1</min><max>500000000</max></max_result_bytes>
                <timeout_overflow_mode><readonly/></timeout_overflow_mode>
            </constraints>
        </reader>
    </profiles>
    <quotas>
        <default/>
    </quotas>
    <users>
{{- if not .Container}}
        <default>
            <password></password>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SYSTEM LISTEN ON *.*</query>
            </grants>
        </default>
{{- end}}
        <{{.User}}>
            {{.Login .Password "CLICKHOUSE_WRITE_PASSWORD"}}
            <profile>default</profile>
            <quota>default</quota>
        </{{.User}}>
        <{{.ReadUser}}>
            {{.Login .ReadPassword "CLICKHOUSE_READ_PASSWORD"}}
            <profile>reader</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SHOW, SELECT, dictGet ON *.*</query>
            </grants>
        </{{.ReadUser}}>
    </users>
</clickhouse>
`))

// ReadMemory is what one read may use: half, so that inserts and merges go on
// beside the greediest query.
func (f clickHouseFiles) ReadMemory() int64 { return f.Memory / 2 }

// Login is how a user comes in: with which password, and from where. In a
// container the password is that of an environment variable.
func (f clickHouseFiles) Login(password, variable string) (string, error) {
	if f.Container {
		return `<password from_env="` + variable + `"/>
            <networks><ip>::/0</ip></networks>`, nil
	}
	password, err := escape(password)
	return `<password>` + password + `</password>
            <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>`, err
}

// write puts both files into the run folder.
func (f clickHouseFiles) write() error {
	config, users, err := f.render()
	if err == nil {
		err = writeFile(filepath.Join(f.Run, "config.xml"), config)
	}
	if err == nil {
		err = writeFile(filepath.Join(f.Run, "users.xml"), users)
	}
	return err
}

// render makes both files.
func (f clickHouseFiles) render() (config, users string, err error) {
	var texts [2]strings.Builder
	for i, form := range []*template.Template{serverConfig, usersConfig} {
		if err := form.Execute(&texts[i], f); err != nil {
			return "", "", fmt.Errorf("make %s: %w", form.Name(), err)
		}
	}
	return texts[0].String(), texts[1].String(), nil
}

// escape makes a string safe as the content of an element.
func escape(text string) (string, error) {
	var out strings.Builder
	if err := xml.EscapeText(&out, []byte(text)); err != nil {
		return "", err
	}
	return out.String(), nil
}
