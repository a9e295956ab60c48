//go:build noengine

package embedded

import (
	"fmt"
	"os"
)

// engineBuilt says that this build cannot load libchdb. Whatever loads a shared
// library needs the C library itself; a build without is static, as a container
// with nothing else in it wants.
const engineBuilt = false

// RunEngine says that this build cannot become ClickHouse; see engine.go.
func RunEngine([]string) int {
	fmt.Fprintln(os.Stderr, "engine: this program was built without it (tag noengine)")
	return 1
}
